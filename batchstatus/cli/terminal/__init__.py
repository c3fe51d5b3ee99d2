"""What a person reads on a terminal: words for the state of a job, bars, lists, all of them at any width."""
