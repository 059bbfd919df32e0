"""A diffusion server's API as AUTOMATIC1111's web UI made it known; spoken by providers only."""
