package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// rounds runs every workload once a round with each contender. The contenders run one after the
// other, and each round begins with another one. Therefore other load of the machine disturbs all
// of them about equally.
func (p programs) rounds(
	ctx context.Context, s settings, endpoint string, results *results, progress io.Writer,
) error {
	start := time.Now()
	for round := range s.rounds {
		if err := p.round(ctx, s, round, endpoint, results); err != nil {
			return err
		}
		fmt.Fprintf(progress, "round %d of %d, after %s\n", round+1, s.rounds,
			time.Since(start).Round(time.Second))
	}
	return nil
}

// round runs every workload once with each contender, that is each of the compared clients.
func (p programs) round(
	ctx context.Context, s settings, round int, endpoint string, results *results,
) error {
	for _, w := range s.works {
		for _, contender := range turn(w.contenders(), round) {
			args := w.args(s, endpoint)
			if round == s.rounds-1 {
				args = append(args, profile(s, w, contender)...)
			}
			sample, err := p.fed(ctx, w, endpoint, func() (figures.Sample, error) {
				return p.client(ctx, contender, w.limit(s), args...)
			})
			if err != nil {
				return err
			}
			sample.Work = w.name
			results.add(sample)
		}
	}
	return nil
}

// fed calls run, which runs a contender. If the workload has a feeder, the feeder writes meanwhile.
func (p programs) fed(
	ctx context.Context, w work, endpoint string, run func() (figures.Sample, error),
) (figures.Sample, error) {
	if w.feeder == nil {
		return run()
	}
	feeder := exec.CommandContext(ctx, p.path(figures.This), append([]string{"-via", "stub",
		"-endpoint", endpoint, "-for", "1h"}, w.feeder...)...)
	feeder.Stderr = os.Stderr
	if err := feeder.Start(); err != nil {
		return figures.Sample{}, err
	}
	defer func() {
		_ = feeder.Process.Kill()
		_ = feeder.Wait()
	}()
	return run()
}

// profile returns the flag that writes a profile, if one is wanted.
func profile(s settings, w work, contender string) []string {
	if s.profiles == "" {
		return nil
	}
	return []string{"-cpuprofile",
		filepath.Join(s.profiles, w.name+"-"+contender+".pb.gz")}
}

// turn returns the contenders in the order in which a round runs them. Each round begins with
// another contender.
func turn(contenders []string, round int) []string {
	first := round % len(contenders)
	return slices.Concat(contenders[first:], contenders[:first])
}
