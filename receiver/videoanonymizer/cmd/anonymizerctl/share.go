// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

func newShareCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "share",
		Short: "Manage machines that share the work",
	}
	command.AddCommand(newShareStatusCommand(), newShareDrainCommand(), newShareNKeyCommand())
	return command
}

func newShareStatusCommand() *cobra.Command {
	var flags shareFlags
	var asJSON bool
	command := &cobra.Command{
		Use:   "status [DIR|URL]",
		Short: "Show which machine is doing what, and since when",
		Long: `Shows the machines of a share, its videos and their units, which machine is doing what, and since when. It asks
the NATS servers of --config or the one at URL. Given DIR, the root of the share, it reads the mirror of the records
there instead. That works even while all servers are down, but the mirror does not include the machines or what they are
doing.

It exits with 1 if a machine has died within a day and not come back, if one takes no work and says why, or if no
machine takes part.`,
		Example: `  anonymizerctl share status --config /etc/otelcol-anonymizer/config.yaml
  anonymizerctl share status --config config.yaml --json
  anonymizerctl share status tls://10.0.0.12:4222 --name lab --ca-file ca.pem --cert-file a.pem --key-file a.key \
    --nkey-file a.nk
  anonymizerctl share status /srv/videos`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			found, err := flags.status(command.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			print := printShare
			if asJSON {
				print = printShareJSON
			}
			if err := print(command.OutOrStdout(), found); err != nil {
				return err
			}
			bad := found.problems()
			for _, text := range bad {
				fmt.Fprintln(command.ErrOrStderr(), "BAD:", text)
			}
			if len(bad) > 0 {
				return errFound
			}
			return nil
		},
	}
	flags.add(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON as described in share.schema.json")
	return command
}

func newShareDrainCommand() *cobra.Command {
	var flags shareFlags
	var undo bool
	command := &cobra.Command{
		Use:   "drain MACHINE [URL]",
		Short: "Make a machine finish its current work and take no more",
		Long: `Makes a machine finish its current work and take no more, for example before it is updated or switched off.
This remains in effect until --undo, even if the machine restarts. It needs the same flags as "anonymizerctl share
status", which shows when the machine is done.`,
		Example: `  anonymizerctl share drain b --config config.yaml
  anonymizerctl share drain b --undo --config config.yaml`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(command *cobra.Command, args []string) error {
			said, err := flags.drain(command.Context(), args[0], strings.Join(args[1:], ""), !undo)
			if err == nil {
				_, err = fmt.Fprintln(command.OutOrStdout(), said)
			}
			return err
		},
	}
	flags.add(command)
	command.Flags().BoolVar(&undo, "undo", false, "let it take work again")
	return command
}

func newShareNKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "nkey FILE",
		Short: "Make the key that identifies a machine, and print its public part",
		Long: `Makes a machine's nkey in FILE, and prints the public nkey. FILE is for share::nkey_file and stays on the
machine. If FILE already exists, it is left alone, and its public nkey is printed.

A machine without a server of its own connects to the servers of other machines: add its public nkey to the FILEs of
those machines, one per line.`,
		Example: `  sudo anonymizerctl share nkey /etc/otelcol-anonymizer/share/a.nk
  sudo chown otelcol-anonymizer: /etc/otelcol-anonymizer/share/a.nk`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			public, err := share.EnsureIdentity(args[0])
			if err == nil {
				_, err = fmt.Fprintln(command.OutOrStdout(), public)
			}
			return err
		},
	}
}

// shareFlags are the flags that locate a share.
type shareFlags struct {
	receiver, name, nkey string
	configs              []string
	tls                  share.TLS
	timeout              time.Duration
}

func (f *shareFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringArrayVar(&f.configs, "config", nil, "configuration `file` of a collector that takes part")
	flags.StringVar(&f.receiver, "receiver", "", "`ID` of the receiver in --config, if there are several")
	flags.StringVar(&f.name, "name", "", "the `name` of the share, without --config")
	flags.StringVar(&f.tls.CAFile, "ca-file", "", "tls::ca_file, without --config")
	flags.StringVar(&f.tls.CertFile, "cert-file", "", "tls::cert_file, without --config")
	flags.StringVar(&f.tls.KeyFile, "key-file", "", "tls::key_file, without --config")
	flags.StringVar(&f.nkey, "nkey-file", "", "nkey_file, without --config")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long NATS may take to answer")
}

// config returns the configuration of the share, with the server at url unless it is empty.
func (f *shareFlags) config(ctx context.Context, url string) (share.Config, error) {
	if len(f.configs) == 0 {
		if url == "" {
			return share.Config{}, errors.New("specify where the share is, with --config or the URL of a server")
		}
		if f.receiver != "" {
			return share.Config{}, errors.New("--receiver chooses from --config: use both, or neither")
		}
		cfg := share.DefaultConfig()
		cfg.Name, cfg.Servers, cfg.NKeyFile = f.name, []string{url}, f.nkey
		if f.tls != (share.TLS{}) {
			cfg.TLS = &f.tls
		}
		return cfg, nil
	}
	if f.name != "" || f.nkey != "" || f.tls != (share.TLS{}) {
		return share.Config{}, errors.New("use --config or the other flags, not both")
	}
	// Settings that do not concern the connection are not validated: that would block while the file server is
	// unavailable.
	loaded, err := config.Load(ctx, f.receiver, f.configs...)
	if err != nil {
		return share.Config{}, err
	}
	if loaded.Share == nil {
		return share.Config{}, fmt.Errorf("receivers::%s has no share: its machine works alone", loaded.ID)
	}
	cfg := *loaded.Share
	if url != "" {
		cfg.Servers, cfg.Embedded = []string{url}, nil
	}
	return cfg, nil
}

func (f *shareFlags) dial(ctx context.Context, url string) (*share.Client, share.Config, error) {
	cfg, err := f.config(ctx, url)
	if err != nil {
		return nil, cfg, err
	}
	client, err := share.Dial(ctx, cfg, zap.NewNop())
	return client, cfg, err
}

// shareSchema identifies the JSON format, see share.schema.json.
const shareSchema = "otelcol-anonymizer/share/v1"

// Sources of a share's status.
const (
	fromNATS   = "nats"
	fromMirror = "mirror"
)

// shareStatus is the status of a share.
type shareStatus struct {
	Schema string `json:"schema"`
	Share  string `json:"share"`
	// Source is nats or mirror.
	Source string `json:"source"`
	// Written is the time of the last write to the mirror, if that is the source.
	Written *time.Time `json:"written,omitempty"`
	share.Status
}

// status returns the status of the share at place, a folder or URL, or of the share in the configuration if place is
// empty.
func (f *shareFlags) status(ctx context.Context, place string) (shareStatus, error) {
	if place != "" && !strings.Contains(place, "://") {
		_, _, notAddress := net.SplitHostPort(place)
		if _, err := os.Stat(place); notAddress == nil && errors.Is(err, fs.ErrNotExist) {
			return shareStatus{}, fmt.Errorf("%s is not a folder: write tls://%[1]s for the NATS server there", place)
		}
		return f.mirror(place)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	client, cfg, err := f.dial(ctx, place)
	if err != nil {
		return shareStatus{}, err
	}
	defer client.Close()
	status, err := client.Status(ctx)
	return shareStatus{Schema: shareSchema, Share: cfg.Name, Source: fromNATS, Status: status}, err
}

func (f *shareFlags) mirror(root string) (shareStatus, error) {
	if len(f.configs) > 0 || f.receiver != "" || f.nkey != "" || f.tls != (share.TLS{}) {
		return shareStatus{}, fmt.Errorf("%s is read without a server: use only --name, or no flags", root)
	}
	name := f.name
	if name == "" {
		names, err := share.Names(root)
		switch {
		case err != nil:
			return shareStatus{}, fmt.Errorf("this is not the root of a share: %w", err)
		case len(names) != 1:
			return shareStatus{}, fmt.Errorf("%s has %d shares: choose one with --name: %s", root, len(names),
				strings.Join(names, ", "))
		}
		name = names[0]
	}
	status, written, err := share.ReadMirror(root, name)
	return shareStatus{Schema: shareSchema, Share: name, Source: fromMirror, Written: &written, Status: status}, err
}

// problems lists what the operator should look into.
func (s *shareStatus) problems() (all []string) {
	if s.Source == fromMirror {
		return nil
	}
	alive := false
	for _, m := range s.Machines {
		alive = alive || m.Alive
		switch {
		case !m.Alive && !m.Left:
			all = append(all, fmt.Sprintf("%s has been silent for %s", m.Name, seconds(m.Silent)))
		case m.Alive && m.Problem != "":
			all = append(all, fmt.Sprintf("%s takes no work: %s", m.Name, m.Problem))
		}
	}
	if !alive {
		all = append(all, "no machine takes part")
	}
	return all
}

// drain tells a machine to take no more work, or to take work again, and returns a message for the user.
func (f *shareFlags) drain(ctx context.Context, machine, url string, on bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	client, _, err := f.dial(ctx, url)
	if err != nil {
		return "", err
	}
	defer client.Close()
	status, err := client.Status(ctx)
	if err != nil {
		return "", err
	}
	var names []string
	for _, m := range status.Machines {
		names = append(names, m.Name)
	}
	known := slices.Contains(names, machine)
	if !known && !on { // a machine that died long ago is not listed
		if known, err = client.Drained(ctx, machine); err != nil {
			return "", err
		}
	}
	if !known {
		return "", fmt.Errorf("there is no machine %s: choose one of %s", machine,
			strings.Join(slices.Compact(names), ", "))
	}
	if err := client.Drain(ctx, machine, on); err != nil {
		return "", fmt.Errorf("tell %s: %w", machine, err)
	}
	if !on {
		return machine + " takes work again", nil
	}
	// Its state is not known here: it may have claimed a unit just before it received this.
	return machine + " takes no more work: wait until anonymizerctl share status shows that it does nothing", nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func printShareJSON(w io.Writer, s shareStatus) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}
