// Command tracing records a span for each request of a client with OpenTelemetry, as a child of the
// program's own span, and writes the spans to standard output.
//
// With -demo it prints a line for each span instead: its name and its parent.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

func main() { demo.Main(run, summary) }

// run makes three requests within a span of its own, and writes all spans to out.
func run(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(out))
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	defer func() {
		// Shutdown writes the spans that wait, also if ctx has ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, provider.Shutdown(ctx))
	}()
	client, err := clientv3.New(traced(clientv3.Config{Endpoints: endpoints}, provider))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	ctx, span := provider.Tracer("examples/tracing").Start(ctx, "rename")
	defer span.End()
	return rename(ctx, client, "examples/tracing/old", "examples/tracing/new")
}

// traced adds to cfg a stats handler that makes a span of each attempt of a request, and sends the
// trace's id to the servers. Requests that the client makes by itself get none.
func traced(cfg clientv3.Config, provider trace.TracerProvider) clientv3.Config {
	handler := otelgrpc.NewClientHandler(otelgrpc.WithTracerProvider(provider),
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool {
			return info.FullMethodName != "/grpc.health.v1.Health/Watch"
		}))
	cfg.DialOptions = append(cfg.DialOptions, grpc.WithStatsHandler(handler))
	return cfg
}

// rename moves a value from one key to another.
func rename(ctx context.Context, client *clientv3.Client, from, to string) error {
	if _, err := client.Put(ctx, from, "value"); err != nil {
		return err
	}
	resp, err := client.Get(ctx, from)
	if err != nil {
		return err
	}
	for _, kv := range resp.Kvs {
		_, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(from), "=", kv.ModRevision)).
			Then(clientv3.OpPut(to, string(kv.Value)), clientv3.OpDelete(from)).
			Commit()
		if err != nil {
			return err
		}
	}
	return nil
}

// summary prints a line for each span of run.
func summary(ctx context.Context, out io.Writer, endpoints []string) error {
	reader, writer := io.Pipe()
	defer reader.Close()
	go func() { writer.CloseWithError(run(ctx, writer, endpoints)) }()
	spans, err := decode(reader)
	if err != nil {
		return err
	}
	names := map[string]string{"0000000000000000": "no other"}
	for _, span := range spans {
		names[span.SpanContext.SpanID] = span.Name
	}
	for _, span := range spans {
		fmt.Fprintf(out, "span %s, child of %s\n", span.Name, names[span.Parent.SpanID])
	}
	return nil
}

// span is what the exporter writes, as far as it is read here.
type span struct {
	Name                string
	SpanContext, Parent struct{ SpanID string }
}

func decode(in io.Reader) (spans []span, err error) {
	for decoder := json.NewDecoder(in); ; {
		var next span
		if err := decoder.Decode(&next); err != nil {
			if errors.Is(err, io.EOF) {
				return spans, nil
			}
			return nil, err
		}
		spans = append(spans, next)
	}
}
