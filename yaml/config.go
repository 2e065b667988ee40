// Package yaml reads the configuration of a client from a file.
//
//	cfg, err := yaml.NewStrictConfig("etcd.yaml")
//	client, err := clientv3.New(*cfg)
//
// The keys, all optional:
//
//	endpoints                  list of endpoints
//	username, password, token  the client's credentials
//	cert-file, key-file        PEM files of the client's certificate; one without the other is
//	                           ignored
//	trusted-ca-file            PEM file of the authorities that sign servers' certificates
//	ca-file                    ignored; use trusted-ca-file
//	insecure-skip-tls-verify   true: servers' certificates are not checked
//	insecure-transport         true: no TLS; the keys about TLS are ignored
//	dial-timeout, dial-keep-alive-time, dial-keep-alive-timeout, auto-sync-interval,
//	backoff-wait-between
//	                           durations: nanoseconds, or text such as 5s
//	max-unary-retries, backoff-jitter-fraction
//	                           numbers
//	permit-without-stream, reject-old-cluster, spread-evenly, disable-probes
//	                           true or false
//	MaxCallSendMsgSize, MaxCallRecvMsgSize
//	                           bytes
//	LogConfig                  a zap.Config
//
// Each key sets a field of clientv3.Config that has a similar name, and the field's documentation
// says what the setting means. The file may also be JSON, which is a subset of YAML.
package yaml

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"sigs.k8s.io/yaml"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// NewConfig reads the configuration file at fpath. It returns an error that names the file and the
// cause if the file cannot be read, a value has the wrong type, or a certificate cannot be loaded.
// NewConfig does not check whether the settings go together; clientv3.New does.
//
// NewConfig ignores settings that have no effect: unknown keys, ca-file, one of cert-file and
// key-file without the other, and all but the last occurrence of a key. [NewStrictConfig] returns
// an error instead. NewConfig logs one warning, which names all ignored settings except repeated
// keys. The logger is made from the file's LogConfig. If the file has none, it is the default
// logger of clients.
//
// The Config has a TLS config unless the file has insecure-transport: true. Connections to
// endpoints without a scheme are then encrypted, even if the file has no key about TLS. Without
// trusted-ca-file, the system's authorities are trusted. The files of the client's certificate are
// read again for each handshake, so that a renewed certificate needs no restart. If they cannot be
// read or do not fit together, the handshake uses the last certificate that was read.
func NewConfig(fpath string) (*clientv3.Config, error) {
	cfg, ignored, err := read(fpath, yaml.Unmarshal)
	if err == nil && len(ignored) > 0 {
		logger(cfg).Warn("settings of a configuration file are ignored", zap.String("file", fpath),
			zap.Strings("ignored", ignored))
	}
	return cfg, err
}

// NewStrictConfig is [NewConfig], except that it returns an error if any setting has no effect. The
// error names these settings and the file.
func NewStrictConfig(fpath string) (*clientv3.Config, error) {
	cfg, ignored, err := read(fpath, yaml.UnmarshalStrict)
	if err == nil && len(ignored) > 0 {
		return nil, fmt.Errorf("%s: %s", fpath, strings.Join(ignored, "; "))
	}
	return cfg, err
}

// logger returns the logger for warnings about the configuration file. It makes a logger of its
// own, because the client does not exist yet.
func logger(cfg *clientv3.Config) *zap.Logger {
	if cfg.LogConfig != nil {
		if lg, err := cfg.LogConfig.Build(); err == nil {
			return lg
		}
	}
	//nolint:staticcheck // deprecated, but clientv3.New uses this logger if a Config has none
	lg, err := clientv3.CreateDefaultZapLogger()
	if err != nil {
		return zap.NewNop()
	}
	return lg
}

// read makes a Config from the file at fpath. The result ignored describes each setting that has no
// effect.
func read(
	fpath string, unmarshal func([]byte, any, ...yaml.JSONOpt) error,
) (_ *clientv3.Config, ignored []string, err error) {
	text, err := os.ReadFile(fpath)
	if err != nil {
		return nil, nil, err
	}
	var f file
	if err := unmarshal(text, &f); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", fpath, err)
	}
	cfg, ignored := f.config(), f.unknownKeys(text)
	if f.LogConfig != nil {
		if err := json.Unmarshal(f.LogConfig, &cfg.LogConfig); err != nil {
			return nil, nil, fmt.Errorf("%s: LogConfig: %w", fpath, err)
		}
		d := json.NewDecoder(bytes.NewReader(f.LogConfig))
		d.DisallowUnknownFields()
		if err := d.Decode(new(zap.Config)); err != nil {
			ignored = append(ignored, fmt.Sprintf("LogConfig: %v", err))
		}
	}
	if f.InsecureTransport {
		return cfg, ignored, nil
	}
	tlsConfig, without, err := f.tls()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", fpath, err)
	}
	cfg.TLS = tlsConfig
	return cfg, append(ignored, without...), nil
}

// file has a field for each key that a configuration file may have.
type file struct {
	Endpoints             []string        `json:"endpoints"`
	AutoSyncInterval      duration        `json:"auto-sync-interval"`
	DialTimeout           duration        `json:"dial-timeout"`
	DialKeepAliveTime     duration        `json:"dial-keep-alive-time"`
	DialKeepAliveTimeout  duration        `json:"dial-keep-alive-timeout"`
	MaxCallSendMsgSize    int             `json:"MaxCallSendMsgSize"`
	MaxCallRecvMsgSize    int             `json:"MaxCallRecvMsgSize"`
	Username              string          `json:"username"`
	Password              string          `json:"password"`
	Token                 string          `json:"token"`
	RejectOldCluster      bool            `json:"reject-old-cluster"`
	LogConfig             json.RawMessage `json:"LogConfig"`
	PermitWithoutStream   bool            `json:"permit-without-stream"`
	SpreadEvenly          bool            `json:"spread-evenly"`
	DisableProbes         bool            `json:"disable-probes"`
	MaxUnaryRetries       uint            `json:"max-unary-retries"`
	BackoffWaitBetween    duration        `json:"backoff-wait-between"`
	BackoffJitterFraction float64         `json:"backoff-jitter-fraction"`

	InsecureTransport     bool   `json:"insecure-transport"`
	InsecureSkipTLSVerify bool   `json:"insecure-skip-tls-verify"`
	CertFile              string `json:"cert-file"`
	KeyFile               string `json:"key-file"`
	TrustedCAFile         string `json:"trusted-ca-file"`
}

// config returns a Config with the settings of f. Each field of f is copied to the field of Config
// with the same name, if Config has such a field.
func (f *file) config() *clientv3.Config {
	cfg := &clientv3.Config{}
	to := reflect.ValueOf(cfg).Elem()
	for field, value := range reflect.ValueOf(*f).Fields() {
		if to := to.FieldByName(field.Name); to.IsValid() && value.CanConvert(to.Type()) {
			to.Set(value.Convert(to.Type()))
		}
	}
	return cfg
}

// unknownKeys returns a description of each key in text for which f has no field. Upper and lower
// case are treated as equal, as in encoding/json.
func (f *file) unknownKeys(text []byte) (ignored []string) {
	var all map[string]json.RawMessage
	if yaml.Unmarshal(text, &all) != nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		known := false
		for field := range reflect.TypeFor[file]().Fields() {
			known = known || strings.EqualFold(field.Tag.Get("json"), key)
		}
		switch {
		case strings.EqualFold(key, "ca-file"):
			ignored = append(ignored, fmt.Sprintf("%q, which trusted-ca-file has replaced", key))
		case !known:
			ignored = append(ignored, fmt.Sprintf("unknown key %q", key))
		}
	}
	return ignored
}

// duration is a time.Duration that can be written as a number of nanoseconds, or as text such as
// 1m30s.
type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*int64)(d)) == nil {
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("duration %s is neither whole nanoseconds nor text such as 5s", b)
	}
	parsed, err := time.ParseDuration(text)
	*d = duration(parsed)
	return err
}

// tls makes a TLS config from the certificate files that f names. The result ignored describes each
// setting about TLS that has no effect.
func (f *file) tls() (_ *tls.Config, ignored []string, _ error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.InsecureSkipTLSVerify}
	switch {
	case f.CertFile != "" && f.KeyFile == "":
		ignored = []string{fmt.Sprintf("cert-file %q without a key-file", f.CertFile)}
	case f.KeyFile != "" && f.CertFile == "":
		ignored = []string{fmt.Sprintf("key-file %q without a cert-file", f.KeyFile)}
	case f.CertFile != "":
		cert, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if err != nil {
			return nil, nil, fmt.Errorf("cert-file %q, key-file %q: %w", f.CertFile, f.KeyFile, err)
		}
		// Handshakes use GetClientCertificate. Certificates is set as well, for programs that look
		// for the certificate there.
		cfg.Certificates = []tls.Certificate{cert}
		cfg.GetClientCertificate = renewed(f.CertFile, f.KeyFile, &cert)
	}
	if f.TrustedCAFile != "" {
		pool, missing, err := authorities(f.TrustedCAFile)
		if err != nil {
			return nil, nil, err
		}
		cfg.RootCAs, ignored = pool, append(ignored, missing...)
	}
	return cfg, ignored, nil
}

// authorities reads the certificates of the authorities that sign servers' certificates. If the
// file has no PEM block, missing has a text that says so, and err is nil. The pool is then empty,
// so that no server's certificate is accepted.
func authorities(name string) (pool *x509.CertPool, missing []string, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("trusted-ca-file: %w", err)
	}
	pool = x509.NewCertPool()
	if pool.AppendCertsFromPEM(text) {
		return pool, nil, nil
	}
	none := fmt.Sprintf("trusted-ca-file %q has no certificate in PEM format", name)
	if block, _ := pem.Decode(text); block != nil {
		return nil, nil, errors.New(none)
	}
	return pool, []string{none}, nil
}

// renewed returns a function for tls.Config.GetClientCertificate. At each handshake, the function
// reads both files. If this fails, for example because only one of them has been replaced yet, it
// returns the last certificate that could be read. If the server asks for a different kind of
// certificate, it returns an empty one, which means that the client has none.
func renewed(
	certFile, keyFile string, first *tls.Certificate,
) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	var last atomic.Pointer[tls.Certificate]
	last.Store(first)
	return func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if cert, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
			last.Store(&cert)
		}
		cert := last.Load()
		if request.SupportsCertificate(cert) != nil {
			return &tls.Certificate{}, nil
		}
		return cert, nil
	}
}
