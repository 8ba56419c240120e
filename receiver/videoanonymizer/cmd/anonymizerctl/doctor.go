// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/doctor"
)

// installedConfig is the configuration of the packaged service.
const installedConfig = "/etc/otelcol-anonymizer/config.yaml"

func newDoctorCommand() *cobra.Command {
	var uris []string
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine has what a configuration needs",
		Long: `Checks whether this machine has what a configuration needs: ffmpeg and its encoders, ONNX Runtime, the models
(by hash), GPU and driver, folders and their permissions, disk space, the certificate and nkey of a machine that shares
the work, ports, and what confines ffmpeg. It changes nothing.

Run it as the collector's user in the collector's working directory, since it checks that user's permissions and
resolves relative paths there. It exits with 1 if something that the configuration needs is missing.`,
		Example: `  anonymizerctl doctor --config config/config.yaml
  sudo -u otelcol-anonymizer sh -c 'cd /var/lib/otelcol-anonymizer && anonymizerctl doctor'`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if len(uris) == 0 {
				if _, err := os.Stat(installedConfig); err == nil {
					uris = []string{installedConfig}
				}
			}
			var findings []doctor.Finding
			if len(uris) == 0 {
				findings = doctor.Defaults(command.Context())
			} else {
				findings = doctor.Configuration(command.Context(), uris)
			}
			return printFindings(command.OutOrStdout(), findings)
		},
	}
	command.Flags().StringArrayVar(&uris, "config", nil, "configuration `file`; repeat it if the collector has several "+
		"(default: "+installedConfig+" if it exists; otherwise, checks what every configuration needs)")
	return command
}

// printFindings prints the findings, and returns an error if something is missing.
func printFindings(w io.Writer, findings []doctor.Finding) error {
	missing := 0
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		verdict, text := "ok", f.Note
		if f.Missing != nil {
			missing++
			verdict, text = "MISSING", strings.ReplaceAll(f.Missing.Error(), "\n", "; ")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", verdict, f.What, text)
	}
	if os.Geteuid() == 0 {
		fmt.Fprintf(table, "note\tuser\troot can do everything: run this as the collector's user to check its permissions\n")
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if missing > 0 {
		fmt.Fprintf(w, "\n%d of %d are missing\n", missing, len(findings))
		return errFound
	}
	_, err := fmt.Fprintf(w, "\neverything is there\n")
	return err
}
