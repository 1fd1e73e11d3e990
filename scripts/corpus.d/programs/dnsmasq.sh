# dnsmasq with DNSSEC.
package=dnsmasq
result=dnsmasq
built=src/dnsmasq

libraries() { echo nettle-dev libnettle8 libhogweed6 libgmp-dev libgmp10; }

build() { make -j2 COPTS=-DHAVE_DNSSEC CFLAGS="-O2 -g -fPIE" LDFLAGS=-pie; }
