"""From an alarm event to a person: alarm life, notification plans, the outbox, receipts and channels."""
