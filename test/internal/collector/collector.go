// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package collector runs the built otelcol-anonymizer as a child process, and reads its health and metrics endpoints.
package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Root returns the root directory of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Addresses are a collector's endpoints, as host:port.
type Addresses struct {
	Health, Prometheus string
}

// DefaultAddresses are the addresses in config/config.yaml.
var DefaultAddresses = Addresses{Health: "localhost:13133", Prometheus: "localhost:8889"}

// Options configure a collector.
type Options struct {
	// Binary is the program; empty means bin/otelcol-anonymizer.
	Binary string
	// Dir is the working directory, which relative paths in the configuration refer to.
	Dir string
	// Configs are additional values of --config, which override config/config.yaml.
	Configs []string
	// Env is added to the environment.
	Env []string
	// Addresses are the endpoints in the configuration.
	Addresses Addresses
	// Output receives the collector's stdout and stderr.
	Output io.Writer
}

// OnFreePorts adds a configuration that makes the collector listen on free ports, so that several can run at once.
func (o Options) OnFreePorts() (Options, error) {
	addresses, err := FreeAddresses(7)
	if err != nil {
		return o, err
	}
	_, selfPort, _ := net.SplitHostPort(addresses[5])
	o.Addresses = Addresses{Health: addresses[0], Prometheus: addresses[1]}
	o.Configs = append(o.Configs, fmt.Sprintf(`yaml:{
		extensions: {health_check: {endpoint: "%s"}, zpages: {endpoint: "%s"}, anonymizer_console: {endpoint: "%s"}},
		exporters: {prometheus: {endpoint: "%s"}},
		receivers: {otlp: {protocols: {grpc: {endpoint: "%s"}, http: {endpoint: "%s"}}}},
		service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: localhost, port: %s}}}}]}}}}`,
		addresses[0], addresses[2], addresses[6], addresses[1], addresses[3], addresses[4], selfPort))
	return o, nil
}

// FreeAddresses returns n free addresses of localhost, as host:port.
func FreeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close() // at the end, so that no two are the same
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// Collector is a running collector.
type Collector struct {
	addresses Addresses
	command   *exec.Cmd
	exited    chan struct{}
	err       error // of the process; valid once exited is closed
}

// Start starts the collector and waits until it reports that it is ready.
func Start(ctx context.Context, options Options) (*Collector, error) {
	command, err := options.command(context.WithoutCancel(ctx)) // the collector outlives the start
	if err != nil {
		return nil, err
	}
	command.Stdout, command.Stderr = options.Output, options.Output
	// Use a separate process group, so that Ctrl-C reaches only this process, which can then stop the collector
	// gracefully.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	c := &Collector{addresses: options.Addresses, command: command, exited: make(chan struct{})}
	go func() {
		c.err = command.Wait()
		close(c.exited)
	}()
	if err := c.awaitReady(ctx); err != nil {
		c.Kill()
		return nil, err
	}
	return c, nil
}

// Validate runs the validate command, which starts nothing, and returns its output.
func Validate(ctx context.Context, options Options) (output string, err error) {
	command, err := options.command(ctx, "validate")
	if err != nil {
		return "", err
	}
	out, err := command.CombinedOutput()
	return string(out), err
}

func (o Options) command(ctx context.Context, subcommand ...string) (*exec.Cmd, error) {
	binary := cmp.Or(o.Binary, filepath.Join(Root(), "bin", "otelcol-anonymizer"))
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("the collector is not built, run make build: %w", err)
	}
	args := slices.Concat(subcommand, []string{"--config", filepath.Join(Root(), "config", "config.yaml")})
	for _, config := range o.Configs {
		args = append(args, "--config", config)
	}
	command := exec.CommandContext(ctx, binary, args...)
	command.Dir = o.Dir
	command.Env = append(os.Environ(), o.Env...)
	return command, nil
}

func (c *Collector) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.Await(ctx, "the collector to be ready", 20*time.Millisecond, func() (bool, error) {
		response, err := get(ctx, "http://"+c.addresses.Health+"/")
		if err != nil {
			return false, nil // not listening yet
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
}

// Await polls done until it returns true. It fails when the context or the collector ends.
func (c *Collector) Await(ctx context.Context, what string, interval time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-c.exited:
			return fmt.Errorf("the collector ended while waiting for %s: %w", what,
				errors.Join(c.err, errors.New("see its output")))
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// PID returns the collector's process ID.
func (c *Collector) PID() int { return c.command.Process.Pid }

// CPUTime waits until the collector ends, and returns the CPU time that it and its child processes used.
func (c *Collector) CPUTime() time.Duration {
	<-c.exited
	return c.command.ProcessState.UserTime() + c.command.ProcessState.SystemTime()
}

// Stop sends SIGTERM to the collector, as an operator does, and waits for it. If it takes longer than the timeout, Stop
// kills it and returns an error.
func (c *Collector) Stop(timeout time.Duration) error {
	if err := c.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.exited:
		if c.err != nil {
			return fmt.Errorf("the collector failed: %w", c.err)
		}
		return nil
	case <-time.After(timeout):
		c.Kill()
		return fmt.Errorf("the collector did not end within %v", timeout)
	}
}

// Reload makes the collector reload its configuration.
func (c *Collector) Reload() error { return c.command.Process.Signal(syscall.SIGHUP) }

// Kill kills the collector without a chance to clean up, and waits for it.
func (c *Collector) Kill() {
	_ = c.command.Process.Kill()
	<-c.exited
}

func get(ctx context.Context, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: 10 * time.Second}
	return client.Do(request)
}

// Drop copies a file into a directory atomically, as a careful user does. It creates the directory if necessary.
func Drop(source, directory, name string) (string, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return "", err
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	path := filepath.Join(directory, name)
	if err := os.WriteFile(path+".part", data, 0o644); err != nil {
		return "", err
	}
	return path, os.Rename(path+".part", path)
}

// OutputOf returns the path of a source's output as configured in config/config.yaml, relative to the working
// directory.
func OutputOf(source string) string {
	extension := filepath.Ext(source)
	name := strings.TrimSuffix(filepath.Base(source), extension)
	return filepath.Join("videos", "anonymized", name+"_anonymized"+extension)
}
