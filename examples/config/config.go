package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/v3/cache"
)

// Config is the configuration of a program. A Config is never changed: each update makes a new one.
type Config struct {
	Timeout  time.Duration
	Greeting string
}

// Live holds the newest valid configuration. Load takes no lock.
type Live struct{ current atomic.Pointer[Config] }

// Load returns the newest valid configuration, or nil if there is none yet.
func (l *Live) Load() *Config { return l.current.Load() }

// Follow reads the configuration below prefix, and then every later version of it, until ctx or the
// cache ends. It closes ready after the first valid configuration. If a version is not valid,
// Follow writes the reason to log and keeps the last valid configuration.
func (l *Live) Follow(
	ctx context.Context, c *cache.Cache, prefix string, ready chan<- struct{}, log io.Writer,
) error {
	for batch, err := range c.Changes(ctx) {
		if err != nil {
			return err
		}
		// The snapshot is at the batch's revision or a later one. If a transaction has changed two
		// keys, the snapshot has both changes or neither.
		snap, err := c.AtLeast(ctx, batch.Revision)
		if err != nil {
			return err
		}
		next, err := parse(snap, prefix)
		if err != nil {
			fmt.Fprintln(log, "keeping the configuration of before:", err)
			continue
		}
		first := l.current.Swap(next) == nil
		fmt.Fprintf(log, "configuration: %+v\n", *next)
		if first {
			close(ready)
		}
	}
	return ctx.Err()
}

// parse makes a Config from the keys below prefix. Settings without a key have their default.
func parse(snap cache.Snapshot, prefix string) (*Config, error) {
	cfg := &Config{Timeout: time.Second, Greeting: "hello"}
	var problems []error
	for kv := range snap.Prefix(prefix) {
		value := string(kv.Value)
		switch key := strings.TrimPrefix(string(kv.Key), prefix); key {
		case "timeout-seconds":
			seconds, err := strconv.Atoi(value)
			if err != nil || seconds <= 0 {
				problems = append(problems, fmt.Errorf("%s: %q is no positive number", key, value))
			}
			cfg.Timeout = time.Duration(seconds) * time.Second
		case "greeting":
			cfg.Greeting = value
		default:
			problems = append(problems, fmt.Errorf("%s: unknown", key))
		}
	}
	return cfg, errors.Join(problems...)
}
