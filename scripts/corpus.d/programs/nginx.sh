# nginx with the modules that Debian builds into it, but for those that need libraries of their own.
source "$here/programs/nginx.sh"

libraries() { echo libpcre2-dev libpcre2-8-0 zlib1g-dev zlib1g libssl-dev libssl3 libcrypt-dev libcrypt1; }

# The configure script runs what it compiles. For another processor it asks this machine's compiler instead: sizes, byte order and the
# system's calls are the same, and what is known of the processor the sources ask their own compiler.
configure() {
    local cross=()
    [[ -z ${HOST_TRIPLE:-} ]] || cross=(--with-cc="$BUILD_CC" --crossbuild="Linux:6:${HOST_TRIPLE%%-*}")
    ./configure "${cross[@]}" --prefix=/nonexistent --with-cc-opt="-O2 -g -fPIE" --with-ld-opt=-pie --with-threads --with-http_ssl_module \
        --with-http_v2_module --with-http_dav_module --with-http_mp4_module --with-http_sub_module --with-http_realip_module \
        --with-http_auth_request_module --with-http_secure_link_module --with-http_slice_module --with-http_stub_status_module \
        --with-mail --with-mail_ssl_module --with-stream --with-stream_ssl_module --with-stream_ssl_preread_module
    [[ -z ${HOST_TRIPLE:-} ]] || sed -i "s|^CC =.*|CC = cc|" objs/Makefile
}
