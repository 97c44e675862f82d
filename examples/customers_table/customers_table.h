#ifndef TIDEMARK_EXAMPLES_CUSTOMERS_TABLE_CUSTOMERS_TABLE_H_
#define TIDEMARK_EXAMPLES_CUSTOMERS_TABLE_CUSTOMERS_TABLE_H_

#include "tidemark/engine/pipeline.h"

namespace tidemark::examples {

/// The changes of the customers table, merged into a table of MySQL: id, name, email, last_op. A
/// delete takes the row of its id away; anything else puts the row there, or replaces it.
Query CustomersTable(Job& job);

}  // namespace tidemark::examples

#endif  // TIDEMARK_EXAMPLES_CUSTOMERS_TABLE_CUSTOMERS_TABLE_H_
