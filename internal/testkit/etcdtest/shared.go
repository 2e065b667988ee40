package etcdtest

import (
	"log"
	"sync"
	"testing"
)

// Shared is one cluster for all tests and examples of a package. The first call of Cluster or
// Endpoints starts it, and TestMain stops it:
//
//	var shared etcdtest.Shared
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Around(m)) }
type Shared struct {
	// Options are the options of the cluster. Do not change them after the first Cluster or
	// Endpoints.
	Options []Option

	start   sync.Once
	cluster *Cluster
}

// Cluster returns the cluster, and starts it at the first call. If the cluster does not start, the
// program ends, because an example has no way to fail.
func (s *Shared) Cluster() *Cluster {
	if OnFake() {
		log.Print("etcdtest: on etcdfake")
	}
	s.start.Do(func() {
		var err error
		if s.cluster, err = New(s.Options...); err != nil {
			log.Fatal(err)
		}
	})
	return s.cluster
}

// Endpoints returns the endpoints of the cluster. Like Cluster, it starts the cluster at the first
// call.
func (s *Shared) Endpoints() []string { return s.Cluster().Endpoints() }

// Around returns m with a Run that stops the cluster after the tests.
func (s *Shared) Around(m *testing.M) interface{ Run() int } { return around{m, s} }

type around struct {
	*testing.M
	shared *Shared
}

func (a around) Run() int {
	code := a.M.Run()
	if a.shared.cluster == nil {
		return code
	}
	if err := a.shared.cluster.Close(); err != nil {
		log.Print(err)
		return max(code, 1)
	}
	return code
}
