# dnsmasq with DNSSEC.
package=dnsmasq
result=dnsmasq
built=src/dnsmasq

build() { make -j2 COPTS=-DHAVE_DNSSEC CFLAGS="-O2 -g -fPIE" LDFLAGS=-pie; }
