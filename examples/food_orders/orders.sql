-- The table that food_orders_producer polls. Orders are read in the order of the index: by created_at,
-- and those of one time (a bulk load with now()) by order_id.
SET client_min_messages TO warning;  -- no words about what is there already
CREATE TABLE IF NOT EXISTS orders (
  order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_name text NOT NULL,
  restaurant_name text NOT NULL,
  item text NOT NULL,
  amount double precision NOT NULL,
  order_status text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS orders_created_at ON orders (created_at, order_id);
