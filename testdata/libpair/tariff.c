/* The library of the pair; what differs is said in daemon.c. */
#include "tariff.h"

#if VERSION == 1
#define EURO 1
#else
#define EURO 100
#endif

static int asked; /* lives on through every patch */

int tariff_price(int units)
{
    asked++;
#ifdef FIXED
    if (units < 0)
        return 0;
#endif
    if (units > 100)
        return (300 + (units - 100) * 2) * EURO; /* the rest is cheaper */
    return units * 3 * EURO;
}

int tariff_asked(void) { return asked; }
