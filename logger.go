package clientv3

import (
	"log"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/grpclog"

	"go.etcd.io/etcd/client/v3/internal/endpoint"
)

// envLogLevel names the environment variable that sets the log level.
const envLogLevel = "ETCD_CLIENT_DEBUG"

// ClientLogLevel returns the log level that the environment variable ETCD_CLIENT_DEBUG asks for:
// "debug", "info", "warn", "error", "dpanic", "panic" or "fatal". If the variable is empty or
// "true", the level is info. For any other value the level is info, too, and package log prints a
// line that names the value.
func ClientLogLevel() zapcore.Level {
	text := os.Getenv(envLogLevel)
	if text == "" || text == "true" {
		return zapcore.InfoLevel
	}
	level, err := zapcore.ParseLevel(text)
	if err != nil {
		log.Printf("etcdclient: %s=%q is no log level, using %q", envLogLevel, text,
			zapcore.InfoLevel)
		return zapcore.InfoLevel
	}
	return level
}

// SetLogger sets the logger of gRPC itself, for the whole process. Call it before any gRPC
// connection is made, because gRPC reads its logger without a lock.
func SetLogger(l grpclog.LoggerV2) { grpclog.SetLoggerV2(l) }

// CreateDefaultZapLoggerConfig returns the configuration of the default logger: JSON lines on
// standard error, from ClientLogLevel up, with zap's sampling of repeated entries.
//
// Deprecated: make a zap.Config and put it into Config.LogConfig.
func CreateDefaultZapLoggerConfig() zap.Config {
	cfg := zap.NewProductionConfig()
	cfg.Level = zap.NewAtomicLevelAt(ClientLogLevel())
	cfg.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return cfg
}

// CreateDefaultZapLogger returns a logger like that of a client whose Config has neither a Logger
// nor a LogConfig.
//
// Deprecated: make a zap.Logger and put it into Config.Logger.
func CreateDefaultZapLogger() (*zap.Logger, error) {
	l, err := CreateDefaultZapLoggerConfig().Build()
	if err != nil {
		return nil, err
	}
	return l.Named("etcd-client"), nil
}

func (c *Client) makeLogger() (err error) {
	lg := c.cfg.Logger
	switch {
	case lg != nil:
	case c.cfg.LogConfig != nil:
		lg, err = c.cfg.LogConfig.Build()
	default:
		lg, err = CreateDefaultZapLogger()
	}
	c.lg.Store(lg)
	return err
}

// GetLogger returns the client's logger, which is never nil. It is Config.Logger, a logger made
// from Config.LogConfig, or the default logger. The default logger writes JSON lines of level
// ClientLogLevel and above to standard error. GetLogger may be called from any goroutine.
func (c *Client) GetLogger() *zap.Logger {
	if c.made() {
		if lg := c.lg.Load(); lg != nil {
			return lg
		}
	}
	return zap.NewNop()
}

// WithLogger replaces the client's logger and returns the client. A nil lg turns logging off.
// WithLogger may be called from any goroutine.
//
// Deprecated: use Config.Logger, or WithZapLogger with NewCtxClient.
func (c *Client) WithLogger(lg *zap.Logger) *Client {
	if !c.made() {
		c.clientState = newState(c.Ctx())
	}
	c.lg.Store(lg)
	return c
}

// WithZapLogger sets the logger of a client that NewCtxClient makes.
func WithZapLogger(lg *zap.Logger) Option {
	return func(c *Client) { c.lg.Store(lg) }
}

var processStart = time.Now()

// everySecond is a log limiter: it lets at most one log entry pass per second, and counts the
// entries that it drops. The zero value is ready for use. It is safe for concurrent use.
type everySecond struct {
	next   atomic.Int64 // when the next entry may pass, in ns after processStart
	denied atomic.Int64 // number of entries dropped since the last entry that passed
}

// allow reports whether an entry may be logged at the time now. If so, it also returns how many
// entries were dropped since the last entry that was logged.
func (e *everySecond) allow(now time.Time) (bool, int64) {
	next := e.next.Load()
	at := now.Sub(processStart)
	if next != 0 && int64(at) < next || !e.next.CompareAndSwap(next, int64(at+time.Second)) {
		e.denied.Add(1)
		return false, 0
	}
	return true, e.denied.Swap(0)
}

// log logs an entry, unless the previous entry was logged less than a second ago. The new entry
// includes the number of entries that were dropped since the last logged entry.
func (e *everySecond) log(lg *zap.Logger, level zapcore.Level, text string, fields ...zap.Field) {
	if !lg.Core().Enabled(level) {
		return
	}
	if ok, denied := e.allow(time.Now()); ok {
		lg.WithOptions(zap.AddCallerSkip(1)).Log(level, text,
			append(fields, zap.Int64("not-logged", denied))...)
	}
}

// logRetry logs that an attempt of a request has failed with err and that another attempt follows.
func (c *Client) logRetry(method string, attempt uint, err error) {
	c.retryLog.log(c.GetLogger(), zap.DebugLevel, "request failed, trying again",
		zap.String("method", method), zap.Uint("attempt", attempt), zap.Error(err))
}

// logHealth logs that the health of a member has changed.
func (c *Client) logHealth(address, health string) {
	c.healthLog.log(c.GetLogger(), zap.DebugLevel, "member's health changed",
		zap.String("address", endpoint.Redact(address)), zap.String("health", health))
}
