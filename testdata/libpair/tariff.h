/* tariff: the library of the pair. See daemon.c. */
#ifndef TARIFF_H
#define TARIFF_H

int tariff_price(int units); /* v1: in euros; v2: in cents */

#endif
