package clientv3

import (
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.uber.org/zap"
)

// ConfigSpec is what command lines and files say about a client: plain values,
// from which NewClientConfig makes a Config.
type ConfigSpec struct {
	// Endpoints are as in Config.
	Endpoints []string `json:"endpoints"`
	// RequestTimeout is for the program to apply to its requests; a Config has no
	// such setting.
	RequestTimeout time.Duration `json:"request-timeout"`
	// DialTimeout is as in Config.
	DialTimeout time.Duration `json:"dial-timeout"`
	// KeepAliveTime is Config.DialKeepAliveTime.
	KeepAliveTime time.Duration `json:"keepalive-time"`
	// KeepAliveTimeout is Config.DialKeepAliveTimeout.
	KeepAliveTimeout time.Duration `json:"keepalive-timeout"`
	// MaxCallSendMsgSize is as in Config, in bytes.
	MaxCallSendMsgSize int `json:"max-request-bytes"`
	// MaxCallRecvMsgSize is as in Config, in bytes.
	MaxCallRecvMsgSize int `json:"max-recv-bytes"`
	// DisableProbes is as in Config.
	DisableProbes bool `json:"disable-probes"`
	// Secure holds the TLS settings; nil means no TLS.
	Secure *SecureConfig `json:"secure"`
	// Auth holds the credentials; nil means none.
	Auth *AuthConfig `json:"auth"`
}

// Clone returns a copy that shares nothing with cfg; nil for nil.
func (cfg *ConfigSpec) Clone() *ConfigSpec {
	if cfg == nil {
		return nil
	}
	out := *cfg
	out.Endpoints = slices.Clone(cfg.Endpoints)
	out.Secure = clonePtr(cfg.Secure)
	out.Auth = clonePtr(cfg.Auth)
	return &out
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	out := *p
	return &out
}

// AuthConfig holds credentials: a user name with a password, or a token.
type AuthConfig struct {
	Username string `json:"username"` // of the login
	Password string `json:"password"` // of the login
	Token    string `json:"token"`    // instead of a login
}

// Empty reports whether no field is set.
func (cfg AuthConfig) Empty() bool { return cfg == AuthConfig{} }

// SecureConfig holds TLS settings.
type SecureConfig struct {
	// Cert and Key name the client certificate's PEM files: both or neither. They
	// are read again for every connection.
	Cert string `json:"cert"`
	Key  string `json:"key"`
	// Cacert names the PEM file of the authorities that servers are checked
	// against; empty means the system's.
	Cacert string `json:"cacert"`
	// ServerName is the name that certificates are checked against, for all
	// endpoints; empty means each endpoint's host.
	ServerName string `json:"server-name"`

	// InsecureTransport asks for no TLS. It gives way to any of the other fields.
	InsecureTransport bool `json:"insecure-transport"`
	// InsecureSkipVerify accepts any certificate, so that a connection is
	// encrypted but may be with anyone.
	InsecureSkipVerify bool `json:"insecure-skip-tls-verify"`
}

// NewClientConfig makes a Config from confSpec, reading the files that it names.
// It warns through lg, which may be nil, where certificates are not to be
// verified; the Config's own Logger stays unset. The error names the file or
// the missing half of a certificate and key; a bad value in the rest is
// reported by New.
func NewClientConfig(confSpec *ConfigSpec, lg *zap.Logger) (*Config, error) {
	if confSpec == nil {
		return nil, fmt.Errorf("etcdclient: no ConfigSpec")
	}
	if lg == nil {
		lg = zap.NewNop()
	}
	tlsConfig, err := confSpec.Secure.tlsConfig(lg)
	if err != nil {
		return nil, err
	}
	cfg := &Config{
		TLS:                  tlsConfig,
		Endpoints:            slices.Clone(confSpec.Endpoints),
		MaxCallRecvMsgSize:   confSpec.MaxCallRecvMsgSize,
		MaxCallSendMsgSize:   confSpec.MaxCallSendMsgSize,
		DialTimeout:          confSpec.DialTimeout,
		DialKeepAliveTimeout: confSpec.KeepAliveTimeout,
		DialKeepAliveTime:    confSpec.KeepAliveTime,
		DisableProbes:        confSpec.DisableProbes,
	}
	if auth := confSpec.Auth; auth != nil {
		cfg.Username, cfg.Password, cfg.Token = auth.Username, auth.Password, auth.Token
	}
	return cfg, nil
}

// tlsConfig is nil where no TLS is asked for.
func (s *SecureConfig) tlsConfig(lg *zap.Logger) (*tls.Config, error) {
	if s == nil || *s == (SecureConfig{InsecureTransport: true}) {
		return nil, nil
	}
	if (s.Cert == "") != (s.Key == "") {
		return nil, fmt.Errorf("etcdclient: certificate %q and key %q: need both or neither",
			s.Cert, s.Key)
	}
	cfg := &tls.Config{ServerName: s.ServerName}
	if s.Cert != "" || s.Cacert != "" {
		info := transport.TLSInfo{CertFile: s.Cert, KeyFile: s.Key, TrustedCAFile: s.Cacert,
			ServerName: s.ServerName, Logger: lg}
		var err error
		if cfg, err = info.ClientConfig(); err != nil {
			return nil, fmt.Errorf("etcdclient: TLS: %w", err)
		}
	}
	if s.InsecureSkipVerify {
		lg.Warn("certificates of servers are not verified")
		cfg.InsecureSkipVerify = true
	}
	return cfg, nil
}
