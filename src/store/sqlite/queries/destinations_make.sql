INSERT INTO destination (provider, meter)
SELECT DISTINCT value ->> 0, value ->> 1 FROM json_each(?1) WHERE true
ON CONFLICT (provider, meter) DO NOTHING
