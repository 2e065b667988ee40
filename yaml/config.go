// Package yaml reads the configuration of a client from a file.
//
// The keys, all optional:
//
//	endpoints                  list of endpoints
//	username, password, token  who the client is
//	cert-file, key-file        PEM files of the client's certificate, both or none
//	trusted-ca-file            PEM file of the authorities that servers' certificates are checked with
//	insecure-skip-tls-verify   true: servers' certificates are not checked
//	insecure-transport         true: no TLS; the keys about TLS are ignored
//	dial-timeout, dial-keep-alive-time, dial-keep-alive-timeout, auto-sync-interval, backoff-wait-between
//	                           durations: nanoseconds, or text such as 5s
//	max-unary-retries, backoff-jitter-fraction
//	                           numbers
//	permit-without-stream, reject-old-cluster, spread-evenly, disable-probes
//	                           true or false
//	MaxCallSendMsgSize, MaxCallRecvMsgSize
//	                           bytes
//	LogConfig                  a zap.Config
//
// What they mean stands at the fields of clientv3.Config that have their names. JSON is read too, being YAML.
package yaml

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/yaml"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// NewConfig reads the configuration file at fpath. A key that is not known or stands there twice, a value that does not fit
// and a certificate that cannot be loaded are errors that name the file and what is wrong with it; whether the settings go
// together is left to clientv3.New.
//
// Unless the file has insecure-transport: true, the Config has a TLS config, also where no key is about TLS. Connections to
// endpoints without a scheme are then encrypted, and the system's authorities trusted if no trusted-ca-file is given.
func NewConfig(fpath string) (*clientv3.Config, error) {
	text, err := os.ReadFile(fpath)
	if err != nil {
		return nil, err
	}
	var f file
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", fpath, err)
	}
	cfg := f.config()
	if err := f.logConfig(cfg); err != nil {
		return nil, fmt.Errorf("%s: LogConfig: %w", fpath, err)
	}
	if f.InsecureTransport {
		return cfg, nil
	}
	if cfg.TLS, err = f.tls(); err != nil {
		return nil, fmt.Errorf("%s: %w", fpath, err)
	}
	return cfg, nil
}

// file is the content of a configuration file.
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

func (f *file) config() *clientv3.Config {
	return &clientv3.Config{
		Endpoints:             f.Endpoints,
		AutoSyncInterval:      time.Duration(f.AutoSyncInterval),
		DialTimeout:           time.Duration(f.DialTimeout),
		DialKeepAliveTime:     time.Duration(f.DialKeepAliveTime),
		DialKeepAliveTimeout:  time.Duration(f.DialKeepAliveTimeout),
		MaxCallSendMsgSize:    f.MaxCallSendMsgSize,
		MaxCallRecvMsgSize:    f.MaxCallRecvMsgSize,
		Username:              f.Username,
		Password:              f.Password,
		Token:                 f.Token,
		RejectOldCluster:      f.RejectOldCluster,
		PermitWithoutStream:   f.PermitWithoutStream,
		SpreadEvenly:          f.SpreadEvenly,
		DisableProbes:         f.DisableProbes,
		MaxUnaryRetries:       f.MaxUnaryRetries,
		BackoffWaitBetween:    time.Duration(f.BackoffWaitBetween),
		BackoffJitterFraction: f.BackoffJitterFraction,
	}
}

// logConfig decodes the logger's configuration as strictly as the rest.
func (f *file) logConfig(cfg *clientv3.Config) error {
	if f.LogConfig == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(f.LogConfig))
	d.DisallowUnknownFields()
	return d.Decode(&cfg.LogConfig)
}

// tls loads the files that the keys about TLS name.
func (f *file) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.InsecureSkipTLSVerify}
	if (f.CertFile == "") != (f.KeyFile == "") {
		return nil, fmt.Errorf("cert-file %q and key-file %q are needed together", f.CertFile, f.KeyFile)
	}
	if f.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert-file %q, key-file %q: %w", f.CertFile, f.KeyFile, err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	if f.TrustedCAFile != "" {
		pem, err := os.ReadFile(f.TrustedCAFile)
		if err != nil {
			return nil, fmt.Errorf("trusted-ca-file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("trusted-ca-file %q has no certificate in PEM format", f.TrustedCAFile)
		}
	}
	return cfg, nil
}

// duration is read from nanoseconds or from text such as 1m30s.
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
