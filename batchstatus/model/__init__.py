"""What a job is: values and their checks, errors, messages. No input or output but the file of kinds."""
