"""The domain: customers, conversations, deliveries, events. Facts and rules, no words."""
