"""A certificate for localhost and 127.0.0.1 that signs itself, good until 2126, and its key; for tests alone.

Made by: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost
-addext subjectAltName=DNS:localhost,IP:127.0.0.1
"""

import ssl
from pathlib import Path

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUC6euPgYPlruEQtN63xYxU0RNsLowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTAzMzY0MFoYDzIxMjYxMDI4
MDMzNjQwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS6bGhc9bdicK+X+f7LC4JvhsFIxeokBklZqlMAai+MYZzWumRlTm7F
74/C9a+nlLc+6KsFb+SJ9id4XCPRbCMHo28wbTAdBgNVHQ4EFgQUjUiQoFaM681x
wpKbJ/yXif7uUC0wHwYDVR0jBBgwFoAUjUiQoFaM681xwpKbJ/yXif7uUC0wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgCiO2nwqDjie2PC236BZoO24cehohsVE4EVDBl4wSsCkCIQDM
r42mnxuaHNmTE77Tp/5w+hGRXn5BTEMtz493Z1Seuw==
-----END CERTIFICATE-----
"""
_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCWEQT5bfK/a0t3zf
v1qDJ3RFl+ozkdMxI4w0a/OUuQChRANCAAS6bGhc9bdicK+X+f7LC4JvhsFIxeok
BklZqlMAai+MYZzWumRlTm7F74/C9a+nlLc+6KsFb+SJ9id4XCPRbCMH
-----END PRIVATE KEY-----
"""


def server_context(folder: Path) -> ssl.SSLContext:
    """For a server that shows the certificate; `folder` takes the files that `ssl` wants."""
    chain = folder / "localhost.pem"
    chain.write_text(_KEY + CERTIFICATE, encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def trusting_context() -> ssl.SSLContext:
    """For a client that trusts it, and checks names as ever."""
    return ssl.create_default_context(cadata=CERTIFICATE)
