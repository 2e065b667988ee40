package yaml_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/yaml"
)

// TestSettingsWithoutEffect: NewConfig ignores settings without effect, as the published etcd
// client does. NewStrictConfig returns an error that names the setting.
func TestSettingsWithoutEffect(t *testing.T) {
	certFile, keyFile := selfSigned(t, "alice")
	for name, tc := range map[string]struct{ content, names string }{
		"ca-file":                 {"ca-file: /none/ca", `"ca-file"`},
		"ca-file in other case":   {"CA-File: /none/ca", `"CA-File"`},
		"unknown key":             {"end-points: [b]", `"end-points"`},
		"key of another type":     {"1: 2", `"1"`},
		"field without a key":     {"TLS: {ServerName: x}", `"TLS"`},
		"half a certificate":      {"cert-file: " + certFile, certFile},
		"half a key":              {"key-file: " + keyFile, keyFile},
		"half that is not there":  {"cert-file: /none/crt", "/none/crt"},
		"CA file of no PEM":       {"trusted-ca-file: /dev/null", "/dev/null"},
		"key of the logger":       {"LogConfig: {levle: info}", `"levle"`},
		"half without encryption": {"insecure-transport: true\nca-file: /none", `"ca-file"`},
	} {
		t.Run(name, func(t *testing.T) {
			content := "endpoints: [a]\n" + tc.content
			path := write(t, content)
			cfg, err := yaml.NewConfig(path)
			require.NoError(t, err)
			assert.Equal(t, []string{"a"}, cfg.Endpoints)
			assert.Equal(t, !strings.Contains(content, "insecure-transport"), cfg.TLS != nil)
			if cfg.TLS != nil {
				assert.Empty(t, cfg.TLS.Certificates)
				assert.Nil(t, cfg.TLS.GetClientCertificate)
				assert.Empty(t, cfg.TLS.ServerName)
				assert.Equal(t, strings.Contains(content, "trusted-ca-file"),
					cfg.TLS.RootCAs != nil)
			}
			_, err = yaml.NewStrictConfig(path)
			assert.ErrorContains(t, err, tc.names)
			assert.ErrorContains(t, err, path)
		})
	}
}

// TestKeyTwice: if a key stands in the file twice, NewConfig takes the last value, and
// NewStrictConfig returns an error.
func TestKeyTwice(t *testing.T) {
	path := write(t, "username: a\nusername: b")
	cfg, err := yaml.NewConfig(path)
	require.NoError(t, err)
	assert.Equal(t, "b", cfg.Username)
	_, err = yaml.NewStrictConfig(path)
	assert.ErrorContains(t, err, `"username" already set`)
}

// TestSettingsWithoutEffectAreLogged: the settings that have no effect are named in one line of the
// log. The LogConfig of the file says where the log is.
func TestSettingsWithoutEffectAreLogged(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	logConfig := "LogConfig: {level: info, encoding: json, outputPaths: [" + log +
		"], encoderConfig: {messageKey: msg, levelKey: level, levelEncoder: lowercase}}\n"
	path := write(t, "ca-file: /none\nunknown: 1\ncert-file: /none\n"+logConfig)
	_, err := yaml.NewConfig(path)
	require.NoError(t, err)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	var line struct {
		Level, File string
		Ignored     []string
	}
	require.NoError(t, json.Unmarshal(text, &line), "%s", text) // a second line would fail
	assert.Equal(t, "warn", line.Level)
	assert.Equal(t, path, line.File)
	assert.Equal(t, []string{
		`"ca-file", which trusted-ca-file has replaced`, `unknown key "unknown"`,
		`cert-file "/none" without a key-file`,
	}, line.Ignored)

	require.NoError(t, os.Remove(log))
	for _, read := range ways {
		cfg, err := read(write(t, "endpoints: [a]\n"+logConfig))
		require.NoError(t, err)
		assert.Equal(t, []string{"a"}, cfg.Endpoints)
	}
	assert.NoFileExists(t, log, "nothing is logged about a file whose settings all have an effect")
}
