package=libxml2
result=libxml2.so.2
built=.libs/libxml2.so.2.9.14

configure() {
    # Restores the times of the release, so that make does not want to run the autotools.
    touch aclocal.m4 && touch configure config.h.in Makefile.in
    CFLAGS="-O2 -g" ./configure --disable-static --without-python --without-lzma --without-zlib --without-icu
}

build() { make -j2 libxml2.la; }
