-- The table that orders_to_avro polls. The server draws the ids, so that no order is missed whose
-- transaction ends late.
CREATE TABLE IF NOT EXISTS new_orders (
  order_id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id INT NOT NULL,
  amount DOUBLE NOT NULL,
  created_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
);
