"""What the worker is made of: ``make audit``. Not part of the worker."""
