package=unbound
result=unbound
built=unbound

configure() { CFLAGS="-O2 -g -fPIE" LDFLAGS=-pie ./configure --disable-shared --enable-fully-static=no --with-pthreads --without-libevent; }

build() { make -j2 unbound; }
