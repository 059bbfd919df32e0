-- Which providers a key's calls go to: a JSON object with order, only, ignore, sort and max_price, as the `provider`
-- object of a request; NULL for a key without wishes of its own.
ALTER TABLE api_key ADD COLUMN providers TEXT;
