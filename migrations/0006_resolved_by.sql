-- Who has seen to an anomaly: the operator's key and the name that its holder gave, or the command line.
ALTER TABLE anomalies ADD COLUMN resolved_by TEXT;
