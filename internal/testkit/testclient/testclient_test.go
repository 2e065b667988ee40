package testclient_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zapcore"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordingTB runs its clean-ups when told to, and records that the test has failed.
type recordingTB struct {
	testing.TB
	cleanups []func()
	failed   bool
}

func (r *recordingTB) Helper()               {}
func (r *recordingTB) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }
func (r *recordingTB) Errorf(string, ...any) { r.failed = true }
func (r *recordingTB) FailNow()              { panic(r) }

// end runs the clean-ups and reports whether the test has failed.
func (r *recordingTB) end() bool {
	for _, f := range r.cleanups {
		func() {
			defer func() { _ = recover() }()
			f()
		}()
	}
	return r.failed
}

func TestSecretInALogEntryFailsTheTest(t *testing.T) {
	for _, cfg := range []clientv3.Config{
		{Password: "hidden"},
		{Token: "hidden"},
		{Endpoints: []string{"http://user:hidden@127.0.0.1:1"}},
		{Endpoints: []string{"user:hidden@127.0.0.1:1"}},
	} {
		for text, want := range map[string]bool{"is hidden here": true, "is not here": false} {
			tb := &recordingTB{TB: t}
			testclient.Logger(tb, cfg).Info(text)
			assert.Equal(t, want, tb.end(), fmt.Sprint(text, cfg.Endpoints))
		}
	}
}

func TestLoggerOfTheConfigGetsTheEntries(t *testing.T) {
	for _, password := range []string{"", "hidden"} {
		lg, logs := testclient.Observed(zapcore.InfoLevel)
		cfg := clientv3.Config{Logger: lg, Password: password}
		testclient.Logger(t, cfg).Info("entry")
		assert.Equal(t, 1, logs.FilterMessage("entry").Len())
	}
}

func TestClientsAreClosedWithTheTest(t *testing.T) {
	var client *clientv3.Client
	t.Run("test", func(t *testing.T) {
		_, client = testclient.StartFake(t, clientv3.Config{})
		_, err := client.Put(t.Context(), "k", "v")
		require.NoError(t, err)
	})
	assert.Error(t, client.Ctx().Err())
}

func TestStopwatchOnAnIdleMachineMeasuresTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elapsed := testclient.Stopwatch(t)
		time.Sleep(3*time.Second + time.Microsecond)
		assert.Equal(t, 3*time.Second+time.Microsecond, elapsed())
	})
}
