"""A provider in the box, for a fresh install, the tests and the benchmark; knows nothing of the rest of Tollhouse."""
