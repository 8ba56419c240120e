// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/oiptest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/pb"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	modelsDir = "../../../../models" // filled by `make models`
	pose      = "movenet-lightning"
)

// openModel opens a model in this process.
func openModel(t testing.TB, path string) *onnx.Session {
	t.Helper()
	require.NoError(t, onnx.Initialize(models.RuntimeLibrary(modelsDir)), "run `make models` first")
	session, err := onnx.Open(path, onnx.Options{Parallel: 2})
	require.NoError(t, err)
	return session
}

func modelFile(name string) string { return filepath.Join(modelsDir, name+".onnx") }

func startServer(t testing.TB, opts oiptest.Options, names ...string) *oiptest.Server {
	t.Helper()
	opts.Models = map[string]inference.Session{}
	if opts.Versions == nil {
		opts.Versions = []string{"1"}
	}
	for _, name := range names {
		session := openModel(t, modelFile(name))
		t.Cleanup(func() { assert.NoError(t, session.Close()) })
		opts.Models[name] = session
	}
	server := oiptest.New(opts)
	require.NoError(t, server.Start())
	t.Cleanup(server.Stop)
	return server
}

// connect returns a client that is not started, and a session for each model.
func connect(t testing.TB, opts Options, names []string, servers ...*oiptest.Server) (*Client, []*Session) {
	t.Helper()
	for _, server := range servers {
		at, err := ParseEndpoint(server.Endpoint())
		require.NoError(t, err)
		opts.Endpoints = append(opts.Endpoints, at)
	}
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	opts.Logger = zaptest.NewLogger(t)
	client, err := New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	var sessions []*Session
	for _, name := range names {
		session, err := client.Open(t.Context(), Model{Name: name, Reference: openModel(t, modelFile(name)), MaxBatch: 3})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, session.Close()) })
		sessions = append(sessions, session)
	}
	return client, sessions
}

// one returns a started client of one server, and a session for a pose model.
func one(t testing.TB, opts Options, server *oiptest.Server) (*Client, *Session) {
	t.Helper()
	client, sessions := connect(t, opts, []string{pose}, server)
	require.NoError(t, client.Start(t.Context()))
	return client, sessions[0]
}

func run(ctx context.Context, session inference.Session, inputs []inference.Tensor) ([]inference.Tensor, error) {
	var all []inference.Tensor
	err := session.Run(ctx, inputs, func(outputs []inference.Tensor) error {
		for _, out := range outputs {
			all = append(all, inference.Tensor{Shape: slices.Clone(out.Shape), Float32: slices.Clone(out.Float32)})
		}
		return nil
	})
	return all, err
}

func people(n int) []inference.Tensor {
	pixels := make([]uint8, n*192*192*3)
	for i := range pixels {
		pixels[i] = uint8(i * i / 7)
	}
	return []inference.Tensor{{Shape: []int64{int64(n), 192, 192, 3}, Uint8: pixels}}
}

func image(height, width int) []inference.Tensor {
	in := people(1)[0].Uint8
	pixels := slices.Repeat(in, height*width*3/len(in)+1)[:height*width*3]
	return []inference.Tensor{{Shape: []int64{1, int64(height), int64(width), 3}, Uint8: pixels}}
}

func assertSameBits(t *testing.T, want, got []inference.Tensor) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		assert.Equal(t, want[i].Shape, got[i].Shape)
		require.Len(t, got[i].Float32, len(want[i].Float32))
		for k, v := range want[i].Float32 {
			require.Equal(t, math.Float32bits(v), math.Float32bits(got[i].Float32[k]), "output %d, element %d", i, k)
		}
	}
}

var protocols = map[string]oiptest.Options{
	"grpc":                          {},
	"grpc, contents that are typed": {Contents: true},
	"grpc, without versions":        {Versions: []string{}},
	"http, binary":                  {HTTP: true},
	"http, json":                    {HTTP: true, JSON: true},
}

// TestAnswersAreTheLocalOnes checks that outputs arrive from a server bit for bit, over each protocol.
func TestAnswersAreTheLocalOnes(t *testing.T) {
	names := []string{pose, "nanodet-m", "movenet-multipose", "blazeface", "selfie-segmentation"}
	inputs := [][][]inference.Tensor{
		{people(1), people(3), people(2)}, {image(128, 224), image(64, 96)}, {image(160, 256)}, {image(256, 256)}, nil,
	}
	for name, opts := range protocols {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, opts, names...)
			client, sessions := connect(t, Options{}, names, server)
			require.NoError(t, client.Start(t.Context()))
			for i, session := range sessions {
				local := session.Model.Reference
				assert.Equal(t, local.Inputs(), session.Inputs())
				assert.Equal(t, local.Outputs(), session.Outputs())
				assert.Equal(t, names[i]+".onnx", session.Name())
				for _, in := range inputs[i] {
					want, err := run(t.Context(), local, in)
					require.NoError(t, err)
					got, err := run(t.Context(), session, in)
					require.NoError(t, err)
					assertSameBits(t, want, got)
				}
			}
		})
	}
}

// TestFaults checks that invalid answers of a server are never used, and that the server is used again once it has
// recovered.
func TestFaults(t *testing.T) {
	type answer = pb.ModelInferResponse
	faults := map[string]struct {
		fault oiptest.Fault
		want  string
		only  string // the protocol that the fault is possible with, empty for both
	}{
		"an error":  {fault: fails(errors.New("broken")), want: "broken"},
		"no answer": {fault: hangs, want: "no answer within"},
		"cut off":   {fault: fails(oiptest.ErrCut), want: "EOF", only: "http"},
		"no output": {change(func(r *answer) {
			r.Outputs, r.RawOutputContents = nil, nil
		}), "lacks the output keypoints", ""},
		"other name":  {change(func(r *answer) { r.Outputs[0].Name = "x" }), "lacks the output keypoints", ""},
		"other type":  {change(func(r *answer) { r.Outputs[0].Datatype = "INT64" }), "INT64", ""},
		"less people": {change(func(r *answer) { r.Outputs[0].Shape[0]--; shorten(r, 17*3*4) }), "want FP32[2 17 3]", ""},
		"more people": {change(func(r *answer) { r.Outputs[0].Shape[0]++ }), "want FP32[2 17 3]", ""},
		"flat shape":  {change(func(r *answer) { r.Outputs[0].Shape = []int64{102} }), "want FP32[2 17 3]", ""},
		"half":        {change(func(r *answer) { shorten(r, 51*4) }), "51 elements", ""},
		"ragged":      {change(func(r *answer) { shorten(r, 3) }), "not whole elements", ""},
		"no contents": {change(func(r *answer) { r.RawOutputContents = nil }), "0 elements", "grpc"},
		"too many contents": {change(func(r *answer) {
			r.RawOutputContents = append(r.RawOutputContents, []byte{1})
		}), "the contents of 2", "grpc"},
		"NaN":      {change(func(r *answer) { put(r, float32(math.NaN())) }), "not a finite number", ""},
		"infinity": {change(func(r *answer) { put(r, float32(math.Inf(1))) }), "not a finite number", ""},
	}
	for protocol, opts := range map[string]oiptest.Options{"grpc": {}, "http": {HTTP: true}} {
		server := startServer(t, opts, pose)
		var failures atomic.Int64
		client, session := one(t, Options{Timeout: time.Second, Failed: func() { failures.Add(1) }}, server)
		for name, tt := range faults {
			if tt.only != "" && tt.only != protocol {
				continue
			}
			t.Run(protocol+", "+name, func(t *testing.T) {
				require.NoError(t, client.Await(t.Context()))
				server.Fail(tt.fault)
				before := failures.Load()
				_, err := run(t.Context(), session, people(2))
				require.ErrorIs(t, err, inference.ErrUnavailable)
				assert.ErrorContains(t, err, tt.want)
				assert.ErrorContains(t, err, server.Endpoint(), "the error names the server")
				assert.Equal(t, before+1, failures.Load())
				_, err = run(t.Context(), session, people(2))
				require.ErrorIs(t, err, inference.ErrUnavailable, "it is not asked again before it is verified")
				server.Fail(nil)
				require.NoError(t, client.Await(t.Context()))
				_, err = run(t.Context(), session, people(2))
				require.NoError(t, err)
			})
		}
	}
}

func fails(err error) oiptest.Fault {
	return func(context.Context, string, *pb.ModelInferResponse) error { return err }
}

func hangs(ctx context.Context, _ string, _ *pb.ModelInferResponse) error {
	<-ctx.Done()
	return ctx.Err()
}

func change(do func(*pb.ModelInferResponse)) oiptest.Fault {
	return func(_ context.Context, _ string, reply *pb.ModelInferResponse) error { do(reply); return nil }
}

func shorten(r *pb.ModelInferResponse, by int) {
	r.RawOutputContents[0] = r.RawOutputContents[0][:len(r.RawOutputContents[0])-by]
}

func put(r *pb.ModelInferResponse, value float32) {
	bits := math.Float32bits(value)
	copy(r.RawOutputContents[0][8:], []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
}

// TestMissingAnchors checks that an answer is rejected that is consistent, but lacks positions where people could be.
func TestMissingAnchors(t *testing.T) {
	server := startServer(t, oiptest.Options{}, "nanodet-m")
	client, sessions := connect(t, Options{}, []string{"nanodet-m"}, server)
	require.NoError(t, client.Start(t.Context()))
	server.Fail(change(func(r *pb.ModelInferResponse) {
		r.Outputs[0].Shape[1]--
		r.Outputs[1].Shape[1]--
		r.RawOutputContents[0] = r.RawOutputContents[0][4:]
		r.RawOutputContents[1] = r.RawOutputContents[1][16:]
	}))
	_, err := run(t.Context(), sessions[0], image(64, 96))
	require.ErrorIs(t, err, inference.ErrUnavailable)
}

// TestUnloadedModel checks that a server is not used while it lacks one of the models.
func TestUnloadedModel(t *testing.T) {
	for name, opts := range map[string]oiptest.Options{"grpc": {}, "http": {HTTP: true}} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, opts, pose)
			client, session := one(t, Options{}, server)
			loaded := openModel(t, modelFile(pose))
			t.Cleanup(func() { assert.NoError(t, loaded.Close()) })
			server.Load(pose, nil)
			_, err := run(t.Context(), session, people(1))
			require.ErrorIs(t, err, inference.ErrUnavailable)
			assert.ErrorContains(t, err, "unknown model")
			limited, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, client.Await(limited), context.DeadlineExceeded)
			server.Load(pose, loaded)
			require.NoError(t, client.Await(t.Context()))
			_, err = run(t.Context(), session, people(1))
			require.NoError(t, err)
		})
	}
}

// otherWeights opens a model of the same shape in which a hundredth of the bytes, part of the weights, is exchanged.
func otherWeights(t *testing.T, name string) *onnx.Session {
	t.Helper()
	model, err := os.ReadFile(modelFile(name))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name+".onnx")
	n := len(model) / 800 * 4
	for at := n; at+2*n < len(model); at += n {
		other := slices.Concat(model[:at], model[at+n:at+2*n], model[at:at+n], model[at+2*n:])
		require.NoError(t, os.WriteFile(path, other, 0o600))
		if session, err := onnx.Open(path, onnx.Options{}); err == nil {
			return session
		}
	}
	t.Fatal("no part of the model is weights alone")
	return nil
}

// TestWrongModel checks that a different model of the right name is rejected, at the start and when the server comes
// back.
func TestWrongModel(t *testing.T) {
	for name, opts := range map[string]oiptest.Options{"grpc": {}, "http": {HTTP: true}} {
		t.Run(name, func(t *testing.T) {
			right := openModel(t, modelFile(pose))
			t.Cleanup(func() { assert.NoError(t, right.Close()) })
			wrongs := map[string]*onnx.Session{
				"its answer to a known tensor": otherWeights(t, pose),
				"it has 2 outputs, want 1":     openModel(t, modelFile("nanodet-m")),
			}
			for want, wrong := range wrongs {
				t.Cleanup(func() { assert.NoError(t, wrong.Close()) })
				server := startServer(t, opts, pose)
				server.Load(pose, wrong)
				client, _ := connect(t, Options{}, []string{pose}, server)
				err := client.Start(t.Context())
				require.ErrorIs(t, err, inference.ErrModel)
				assert.ErrorContains(t, err, want)
				assert.ErrorContains(t, err, "model "+pose)

				server.Load(pose, right)
				client, session := one(t, Options{}, server)
				server.Stop()
				server.Load(pose, wrong)
				require.NoError(t, server.Start())
				_, err = run(t.Context(), session, people(1))
				require.ErrorIs(t, err, inference.ErrUnavailable)
				require.ErrorIs(t, awaitFor(client, time.Second), context.DeadlineExceeded)
				assert.ErrorContains(t, client.why(), want)
				server.Load(pose, right)
				require.NoError(t, client.Await(t.Context()))
			}
		})
	}
}

func awaitFor(client *Client, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return client.Await(ctx)
}

// TestRenewedServer checks that a server that was restarted between two requests is verified before it is used, and
// that no request fails.
func TestRenewedServer(t *testing.T) {
	for name, opts := range protocols {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, opts, pose)
			_, session := one(t, Options{}, server)
			before := session.Identities()
			require.Len(t, before, 1)
			assert.Len(t, before[0].Answer, 64)
			server.Stop()
			require.NoError(t, server.Start())
			answered, _ := server.Answered()
			require.Eventually(t, func() bool { // the client may notice the end of the connection only now
				_, err := run(t.Context(), session, people(1))
				return err == nil
			}, 10*time.Second, 10*time.Millisecond)
			after, _ := server.Answered()
			assert.GreaterOrEqual(t, after-answered, 2, "the known tensor, and the request")
			assert.Equal(t, before, session.Identities())
		})
	}
}

// TestSeveralServers checks that requests are distributed round-robin to the servers that are available.
func TestSeveralServers(t *testing.T) {
	a, b := startServer(t, oiptest.Options{}, pose), startServer(t, oiptest.Options{HTTP: true}, pose)
	var changes []error
	var mu sync.Mutex
	client, sessions := connect(t, Options{Changed: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, err)
	}}, []string{pose}, a, b)
	require.NoError(t, client.Start(t.Context()))
	ask := func(n int) {
		for range n {
			_, err := run(t.Context(), sessions[0], people(1))
			require.NoError(t, err)
		}
	}
	ask(10)
	byA, _ := a.Answered()
	byB, _ := b.Answered()
	assert.Equal(t, []int{6, 6}, []int{byA, byB}, "five each, and the known tensor")
	a.Stop()
	ask(10)
	b.Stop()
	_, err := run(t.Context(), sessions[0], people(1))
	require.ErrorIs(t, err, inference.ErrUnavailable)
	assert.ErrorContains(t, err, a.Endpoint())
	assert.ErrorContains(t, err, b.Endpoint())
	require.NoError(t, a.Start())
	require.NoError(t, client.Await(t.Context()))
	ask(1)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, changes, 3)
	assert.NoError(t, changes[0])
	assert.Error(t, changes[1])
	assert.NoError(t, changes[2])
}

// TestVerifyNeedsServersThatAnswered checks that Verify fails if a server has answered since the last Verify and is
// gone, because it may have served a different model, but not if it has not answered.
func TestVerifyNeedsServersThatAnswered(t *testing.T) {
	a, b := startServer(t, oiptest.Options{}, pose), startServer(t, oiptest.Options{HTTP: true}, pose)
	client, sessions := connect(t, Options{}, []string{pose}, a, b)
	require.NoError(t, client.Start(t.Context()))
	ask := func(times int) {
		t.Helper()
		for range times {
			_, err := run(t.Context(), sessions[0], people(1))
			require.NoError(t, err)
		}
	}
	ask(2)
	since, err := client.Verify(t.Context(), 0)
	require.NoError(t, err)
	assert.EqualValues(t, 2, since)
	a.Stop()
	ask(2) // one of them is first sent to the stopped server
	since, err = client.Verify(t.Context(), since)
	require.NoError(t, err, "what it answered was verified")
	assert.EqualValues(t, 4, since)
	require.NoError(t, a.Start())
	require.Eventually(t, func() bool { return client.endpoints[0].reason() == nil }, 30*time.Second, 10*time.Millisecond)
	ask(2)
	a.Stop()
	ask(2)
	again, err := client.Verify(t.Context(), since)
	require.ErrorIs(t, err, inference.ErrUnavailable)
	require.ErrorContains(t, err, "cannot be verified")
	assert.Equal(t, since, again)
	_, err = client.Verify(t.Context(), client.Answers())
	require.NoError(t, err, "another video, which begins now")
	b.Stop()
	_, err = run(t.Context(), sessions[0], people(1))
	require.ErrorIs(t, err, inference.ErrUnavailable)
	_, err = client.Verify(t.Context(), client.Answers())
	require.ErrorIs(t, err, inference.ErrUnavailable)
}

// TestAnswersThatVary checks that hardware that adds in a different order each time does not count as a different
// model, but that a different model does.
func TestAnswersThatVary(t *testing.T) {
	server := startServer(t, oiptest.Options{}, pose)
	client, session := one(t, Options{}, server)
	verify := func(client *Client) error {
		_, err := client.Verify(t.Context(), 0)
		return err
	}
	var change float64
	server.Fail(func(_ context.Context, _ string, reply *pb.ModelInferResponse) error {
		for _, raw := range reply.RawOutputContents {
			for at := 0; at+4 <= len(raw); at += 4 {
				v := math.Float32frombits(binary.LittleEndian.Uint32(raw[at:]))
				binary.LittleEndian.PutUint32(raw[at:], math.Float32bits(v*float32(1+change)))
			}
		}
		return nil
	})
	before := session.Identities()
	require.Len(t, before, 1)
	for _, change = range []float64{1e-6, 2e-5, -3e-5} {
		require.NoError(t, verify(client))
		assert.Equal(t, before, session.Identities(), "%g", change)
	}
	change = .01
	require.NoError(t, verify(client))
	require.Len(t, session.Identities(), 1)
	assert.NotEqual(t, before, session.Identities())
	change = 0
	require.NoError(t, verify(client))
	assert.Equal(t, before, session.Identities(), "the first model again")
}

// TestStartBeforeTheServer checks that a server that cannot be reached yet is not an error.
func TestStartBeforeTheServer(t *testing.T) {
	server := startServer(t, oiptest.Options{}, pose)
	server.Stop()
	reported := make(chan error, 2)
	client, session := one(t, Options{Changed: func(err error) { reported <- err }}, server)
	require.Error(t, <-reported)
	require.ErrorIs(t, awaitFor(client, 300*time.Millisecond), context.DeadlineExceeded)
	require.NoError(t, server.Start())
	require.NoError(t, client.Await(t.Context()))
	require.NoError(t, <-reported)
	_, err := run(t.Context(), session, people(1))
	require.NoError(t, err)
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	server := startServer(t, oiptest.Options{}, pose)
	_, session := one(t, Options{MaxInFlight: 3}, server)
	server.Fail(func(context.Context, string, *pb.ModelInferResponse) error {
		time.Sleep(20 * time.Millisecond)
		return nil
	})
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			_, err := run(t.Context(), session, people(1))
			assert.NoError(t, err)
		})
	}
	all.Wait()
	_, peak := server.Answered()
	assert.Equal(t, 3, peak)
}

// TestCanceled checks that a caller that cancels a request does not take the server out of use.
func TestCanceled(t *testing.T) {
	for name, opts := range map[string]oiptest.Options{"grpc": {}, "http": {HTTP: true}} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, opts, pose)
			_, session := one(t, Options{}, server)
			ctx, cancel := context.WithCancel(t.Context())
			server.Fail(func(ctx context.Context, _ string, _ *pb.ModelInferResponse) error {
				cancel()
				<-ctx.Done()
				return ctx.Err()
			})
			_, err := run(ctx, session, people(1))
			require.ErrorIs(t, err, context.Canceled)
			assert.NotErrorIs(t, err, inference.ErrUnavailable)
			server.Fail(nil)
			_, err = run(t.Context(), session, people(1))
			require.NoError(t, err)
		})
	}
}

// TestTraceContext checks that servers receive only sampled spans, and that spans identify the server that answered.
func TestTraceContext(t *testing.T) {
	for name, opts := range map[string]oiptest.Options{"grpc": {}, "http": {HTTP: true}} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, opts, pose)
			_, session := one(t, Options{}, server)
			for _, sampled := range []bool{true, false} {
				span := &inference.Span{TraceID: [16]byte{1, 2}, SpanID: [8]byte{3}, Sampled: sampled}
				_, err := run(inference.WithSpan(t.Context(), span), session, people(1))
				require.NoError(t, err)
				require.NotNil(t, span.Server())
				assert.Equal(t, server.Address(), Endpoint{Host: span.Server().Address, Port: span.Server().Port}.address())
				assert.Equal(t, name, span.Server().Protocol)
			}
			assert.Equal(t, []string{"00-01020000000000000000000000000000-0300000000000000-01"}, server.TraceParents())
		})
	}
}

func TestParseEndpoint(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"grpcs://triton:8001":     {TLS: true, Host: "triton", Port: 8001},
		"grpc://[::1]:8001":       {Host: "::1", Port: 8001},
		"https://models.lan/lab/": {HTTP: true, TLS: true, Host: "models.lan", Port: 443, Path: "/lab"},
		"http://127.0.0.2:8000":   {HTTP: true, Host: "127.0.0.2", Port: 8000},
		"http://localhost":        {HTTP: true, Host: "localhost", Port: 80},
	} {
		got, err := ParseEndpoint(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
		assert.Equal(t, !want.TLS, got.Loopback(), text)
	}
	for text, want := range map[string]string{
		"triton:8001":              "no known scheme",
		"grpcs://":                 "no known scheme and host",
		"ftp://triton:1":           "no known scheme",
		"grpc://triton":            "no port",
		"grpc://triton:0":          "no valid port",
		"grpcs://triton:8001/x":    "more than scheme, host and port",
		"https://me:secret@triton": "contains a password",
		"https://triton/?a=b":      "more than scheme, host and port",
		"grpc://a b:1":             "not a URL",
	} {
		_, err := ParseEndpoint(text)
		require.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), "secret")
	}
}

// FuzzReadAnswer checks that no answer causes a crash, or is used without all of its elements.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(`{"outputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[[1],[2.5e-3]]}]}`), "")
	f.Add([]byte(`{"outputs":[{"name":"a","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}1234`), "84")
	f.Add([]byte(`{"outputs":[{"name":"a","datatype":"FP32","shape":[2,-1],"data":[NaN]}]}`), "-1")
	f.Fuzz(func(t *testing.T, body []byte, length string) {
		given, err := readAnswer(body, length)
		if err != nil {
			return
		}
		info := inference.TensorInfo{Name: "a", Type: "float", Shape: []int64{-1}}
		r := request{session: &Session{outputs: []inference.TensorInfo{info}}, shapes: [][]int64{{2}}}
		outputs, err := r.accept(given)
		if err == nil && (len(outputs[0].Float32) != 2 || !finite(outputs[0].Float32)) {
			t.Fatalf("%v", outputs)
		}
	})
}
