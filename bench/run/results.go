package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// results are samples in the order in which they were taken.
type results struct {
	samples []figures.Sample
}

func (r *results) add(s figures.Sample) { r.samples = append(r.samples, s) }

// load adds the samples in a file. A file that does not exist has none.
func (r *results) load(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var s figures.Sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return fmt.Errorf("%s holds %q, which is no sample: %w", path, lines.Text(), err)
		}
		r.add(s)
	}
	return nil
}

// save writes all samples to a file.
func (r *results) save(path string) error {
	var text []byte
	for _, s := range r.samples {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	return os.WriteFile(path, text, 0o644)
}

// comparisons returns a comparison for each of the given workloads of which all contenders have
// samples.
func (r *results) comparisons(works []work) []comparison {
	var found []comparison
	for _, w := range works {
		c := comparison{work: w, samples: map[string][]figures.Sample{}}
		for _, s := range r.samples {
			if s.Work == w.name {
				c.samples[s.Contender] = append(c.samples[s.Contender], s)
			}
		}
		if len(c.samples) == len(w.contenders()) {
			found = append(found, c)
		}
	}
	return found
}

// complete reports whether every workload of a table has been measured in as many rounds as the
// table has.
func (r *results) complete(t table) bool {
	comparisons := r.comparisons(t.works)
	return len(comparisons) == len(t.works) && fewestRounds(comparisons) >= t.rounds
}

// comparison has the samples of one workload, by contender and in the order of the rounds.
type comparison struct {
	work    work
	samples map[string][]figures.Sample
}

// rounds returns the number of rounds for which every contender has a sample.
func (c comparison) rounds() int {
	n := len(c.samples[figures.This])
	for _, samples := range c.samples {
		n = min(n, len(samples))
	}
	return n
}

func (c comparison) values(m metric, contender string) []float64 {
	values := make([]float64, 0, len(c.samples[contender]))
	for _, s := range c.samples[contender] {
		values = append(values, m.value(s))
	}
	return values
}

func (c comparison) median(m metric, contender string) float64 {
	return figures.Median(c.values(m, contender))
}

// quotients returns, for each round, the figure of one contender divided by that of another. The
// parameters above and below are their names: numerator and denominator.
func (c comparison) quotients(m metric, above, below string) []float64 {
	return figures.Quotients(c.values(m, above), c.values(m, below))
}

func (c comparison) ratio(m metric, above, below string) float64 {
	return figures.Median(c.quotients(m, above, below))
}
