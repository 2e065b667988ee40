package yaml_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/yaml"
)

var ways = map[string]func(string) (*clientv3.Config, error){"tolerant": yaml.NewConfig,
	"strict": yaml.NewStrictConfig}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes a file of the given content and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcd.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestEveryKey(t *testing.T) {
	cfg, err := yaml.NewConfig(write(t, `
endpoints: [10.0.0.1:2379, 10.0.0.2:2379]
auto-sync-interval: 1m30s
dial-timeout: 5000000000
dial-keep-alive-time: 1000000000
dial-keep-alive-timeout: 2s
MaxCallSendMsgSize: 1024
MaxCallRecvMsgSize: 2048
username: alice
password: 12345
token: t
reject-old-cluster: true
permit-without-stream: true
max-unary-retries: 3
backoff-wait-between: 4ms
backoff-jitter-fraction: 0.5
LogConfig: {encoding: json}
insecure-transport: true
cert-file: not read
`[1:]))
	require.NoError(t, err)
	assert.Equal(t, "json", cfg.LogConfig.Encoding)
	cfg.LogConfig = nil
	assert.Equal(t, &clientv3.Config{
		Endpoints:             []string{"10.0.0.1:2379", "10.0.0.2:2379"},
		AutoSyncInterval:      90 * time.Second,
		DialTimeout:           5 * time.Second,
		DialKeepAliveTime:     time.Second,
		DialKeepAliveTimeout:  2 * time.Second,
		MaxCallSendMsgSize:    1024,
		MaxCallRecvMsgSize:    2048,
		Username:              "alice",
		Password:              "12345",
		Token:                 "t",
		RejectOldCluster:      true,
		PermitWithoutStream:   true,
		MaxUnaryRetries:       3,
		BackoffWaitBetween:    4 * time.Millisecond,
		BackoffJitterFraction: 0.5,
	}, cfg)
}

// TestEveryTaggedFieldHasItsKey: each field of Config with a json tag is read from the key of that
// name in the file.
func TestEveryTaggedFieldHasItsKey(t *testing.T) {
	typ := reflect.TypeFor[clientv3.Config]()
	seen := 0
	for i := range typ.NumField() {
		key := typ.Field(i).Tag.Get("json")
		if key == "" {
			continue
		}
		seen++
		value := map[reflect.Kind]string{reflect.Bool: "true", reflect.String: "text",
			reflect.Slice: "[a]"}[typ.Field(i).Type.Kind()]
		if value == "" {
			value = "1"
		}
		cfg, err := yaml.NewConfig(write(t, key+": "+value))
		if assert.NoError(t, err, key) {
			assert.False(t, reflect.ValueOf(*cfg).Field(i).IsZero(), key)
		}
	}
	assert.Greater(t, seen, 10)
}

func TestRefusedFiles(t *testing.T) {
	_, keyFile := selfSigned(t, "alice")
	for name, tc := range map[string]struct{ content, want string }{
		"wrong type":           {"endpoints: a", "endpoints"},
		"no YAML":              {"endpoints: [a", "yaml"},
		"duration of nothing":  {"dial-timeout: []", "duration [] is neither"},
		"fraction":             {"dial-timeout: 1.5", "duration 1.5 is neither"},
		"number in quotes":     {`dial-timeout: "5"`, "missing unit"},
		"unit":                 {"dial-timeout: 5 days", `"5 days"`},
		"type of LogConfig":    {"LogConfig: 5", "LogConfig"},
		"no CA file":           {"trusted-ca-file: /none/ca", "/none/ca"},
		"no authority":         {"trusted-ca-file: " + keyFile, "no certificate in PEM format"},
		"no certificate":       {"cert-file: /none/crt\nkey-file: /none/key", "/none/crt"},
		"key as a certificate": {"cert-file: " + keyFile + "\nkey-file: " + keyFile, keyFile},
	} {
		for way, read := range ways {
			t.Run(name+" "+way, func(t *testing.T) {
				path := write(t, tc.content)
				_, err := read(path)
				assert.ErrorContains(t, err, tc.want)
				assert.ErrorContains(t, err, path)
				_, err = read(filepath.Join(t.TempDir(), "none"))
				assert.ErrorIs(t, err, os.ErrNotExist)
			})
		}
	}
}

func TestTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		content        string
		tls, unchecked bool
	}{
		"empty file":               {"", true, false},
		"JSON":                     {`{"endpoints": ["a"]}`, true, false},
		"insecure-transport false": {"insecure-transport: false", true, false},
		"insecure-transport true": {"insecure-transport: true\ninsecure-skip-tls-verify: true",
			false, false},
		"unchecked": {"insecure-skip-tls-verify: true", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := yaml.NewConfig(write(t, tc.content))
			require.NoError(t, err)
			require.Equal(t, tc.tls, cfg.TLS != nil)
			if cfg.TLS != nil {
				assert.Equal(t, tc.unchecked, cfg.TLS.InsecureSkipVerify)
				assert.EqualValues(t, tls.VersionTLS12, cfg.TLS.MinVersion)
				assert.Nil(t, cfg.TLS.RootCAs)
			}
		})
	}
}
