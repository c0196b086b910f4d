"""What rating does by itself: folding the log, and announcing what is due."""
