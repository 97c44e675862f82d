-- The tables of the registrations pipeline, in MariaDB or MySQL. It may be run any number of times;
-- rows stay. Times are UTC.

CREATE TABLE IF NOT EXISTS address (
  address_id  INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  address     VARCHAR(50) NOT NULL,
  address2    VARCHAR(50),
  district    VARCHAR(20) NOT NULL,
  city_id     SMALLINT UNSIGNED NOT NULL,
  postal_code VARCHAR(10),
  phone       VARCHAR(20) NOT NULL,
  last_update TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS customer (
  customer_id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  store_id    TINYINT UNSIGNED NOT NULL,
  first_name  VARCHAR(45) NOT NULL,
  last_name   VARCHAR(45) NOT NULL,
  email       VARCHAR(100),
  address_id  INT UNSIGNED NOT NULL,
  active      BOOLEAN NOT NULL DEFAULT TRUE,
  create_date DATETIME NOT NULL,
  last_update TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  KEY (store_id),
  KEY (last_name),
  FOREIGN KEY (address_id) REFERENCES address (address_id) ON UPDATE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- What happened to customers. The producer polls it by (created_at, event_id).
CREATE TABLE IF NOT EXISTS users_change_events (
  event_id    BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  store_id    TINYINT UNSIGNED NOT NULL,
  first_name  VARCHAR(45) NOT NULL,
  last_name   VARCHAR(45) NOT NULL,
  email       VARCHAR(100),
  created_at  DATETIME(6) NOT NULL,
  KEY (created_at, event_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- How far the producer has published: for people, the truth is in its checkpoint.
CREATE TABLE IF NOT EXISTS latest_cdc_timestamp (
  source           VARCHAR(64) NOT NULL PRIMARY KEY,
  latest_timestamp DATETIME(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TRIGGER IF NOT EXISTS customer_after_insert AFTER INSERT ON customer FOR EACH ROW
  INSERT INTO users_change_events (customer_id, store_id, first_name, last_name, email, created_at)
  VALUES (NEW.customer_id, NEW.store_id, NEW.first_name, NEW.last_name, NEW.email, UTC_TIMESTAMP(6));
