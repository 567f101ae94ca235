"""Networks that train along with a detector and leave no trace in what is deployed."""
