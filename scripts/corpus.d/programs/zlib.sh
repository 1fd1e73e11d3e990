package=zlib
result=libz.so.1
built=libz.so.1.2.11

configure() { CHOST=${HOST_TRIPLE:-} CFLAGS="-O2 -g" ./configure --shared; }

build() { make -j2 libz.so.1.2.11; }
