"""The HyperInfer dialect: any-to-any formats with one error taxonomy."""
