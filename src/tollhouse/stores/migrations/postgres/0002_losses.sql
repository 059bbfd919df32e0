-- What a translation could not carry over: a JSON list of paths.
ALTER TABLE request ADD COLUMN losses TEXT NOT NULL DEFAULT '[]';
