"""What a job is, and the words about it: values and checks, which do no input or output."""
