package clientv3

import (
	"bytes"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestClientLogLevel(t *testing.T) {
	var out bytes.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(os.Stderr)
	for text, want := range map[string]zapcore.Level{
		"": zap.InfoLevel, "true": zap.InfoLevel, "info": zap.InfoLevel, "debug": zap.DebugLevel,
		"warn": zap.WarnLevel, "error": zap.ErrorLevel, "dpanic": zap.DPanicLevel,
		"panic": zap.PanicLevel, "fatal": zap.FatalLevel,
	} {
		t.Setenv("ETCD_CLIENT_DEBUG", text)
		assert.Equal(t, want, ClientLogLevel(), text)
		assert.Equal(t, want, CreateDefaultZapLoggerConfig().Level.Level(), text)
	}
	assert.Empty(t, out.String())
	t.Setenv("ETCD_CLIENT_DEBUG", "loud")
	assert.Equal(t, zap.InfoLevel, ClientLogLevel())
	assert.Contains(t, out.String(), `ETCD_CLIENT_DEBUG="loud"`)
}

func TestLoggerOfTheConfig(t *testing.T) {
	given := zap.NewExample()
	assert.Same(t, given, newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1"},
		Logger: given}).GetLogger())

	file := filepath.Join(t.TempDir(), "log")
	logConfig := CreateDefaultZapLoggerConfig()
	logConfig.OutputPaths = []string{file}
	c, err := New(Config{Endpoints: []string{"127.0.0.1:1"}, LogConfig: &logConfig})
	require.NoError(t, err)
	defer c.Close()
	c.GetLogger().Warn("into the file")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(text), "into the file")

	lg, err := CreateDefaultZapLogger()
	require.NoError(t, err)
	assert.Equal(t, "etcd-client", lg.Name())
	c.WithLogger(lg)
	assert.Same(t, lg, c.GetLogger())
}

func TestEverySecond(t *testing.T) {
	var e everySecond
	now := time.Unix(1_000_000, 0)
	ok, denied := e.allow(now)
	assert.True(t, ok)
	assert.Zero(t, denied)
	for range 5 {
		ok, _ = e.allow(now.Add(999 * time.Millisecond))
		assert.False(t, ok)
	}
	ok, denied = e.allow(now.Add(time.Second))
	assert.True(t, ok)
	assert.EqualValues(t, 5, denied)
}
