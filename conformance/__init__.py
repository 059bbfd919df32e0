"""`make conformance`: recorded provider traffic through a running gateway, judged by what the official SDKs read."""
