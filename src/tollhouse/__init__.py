"""Tollhouse: a self-hosted AI gateway that answers three published APIs and keeps exact prepaid books."""
