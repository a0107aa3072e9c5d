"""Long trials: a short form runs with the other tests, `make soak` (OMNI_SOAK=1) runs thousands."""
