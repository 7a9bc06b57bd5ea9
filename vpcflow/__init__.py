"""`python -m vpcflow`: load and build on a schedule, answer questions, show a demo."""
