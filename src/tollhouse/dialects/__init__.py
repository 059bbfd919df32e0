"""The three published APIs, a folder each; nothing that two of them need in the same words belongs in one."""
