# nginx with the modules that Debian builds into it, but for those that need libraries of their own.
source "$here/programs/nginx.sh"

configure() {
    ./configure --prefix=/nonexistent --with-cc-opt="-O2 -g -fPIE" --with-ld-opt=-pie --with-threads --with-http_ssl_module \
        --with-http_v2_module --with-http_dav_module --with-http_mp4_module --with-http_sub_module --with-http_realip_module \
        --with-http_auth_request_module --with-http_secure_link_module --with-http_slice_module --with-http_stub_status_module \
        --with-mail --with-mail_ssl_module --with-stream --with-stream_ssl_module --with-stream_ssl_preread_module
}
