"""What was tried: experiments, runs, their parameters, metrics with full history, inputs, and the code that ran."""
