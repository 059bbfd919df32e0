"""The internal representation: values that every format can be translated to; imports nothing of ours."""
