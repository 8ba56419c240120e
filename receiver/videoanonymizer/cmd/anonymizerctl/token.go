// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi/tokens"
)

func newTokenCommand() *cobra.Command {
	var directory string
	command := &cobra.Command{
		Use:   "token",
		Short: "Manage who can use the console",
	}
	command.PersistentFlags().StringVar(&directory, "directory", tokens.DefaultDirectory,
		"the folder of tokens, as in the console's configuration")
	command.AddCommand(newTokenCreateCommand(&directory), newTokenListCommand(&directory),
		newTokenRevokeCommand(&directory))
	return command
}

func newTokenCreateCommand(directory *string) *cobra.Command {
	var role string
	var lifetime time.Duration
	command := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a token, which is printed once and stored nowhere",
		Long: `Creates a token, which is printed once and stored nowhere. The audit shows NAME for everything that is done
with the token.

Roles: view (watch), edit (also mark as watched, add masks, and render), review (also approve, reject, and remove
masks), operator (also pause, cancel, put first, try again, and upload). A running console accepts the token within a
second.`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			token, err := tokens.Create(*directory, args[0], consoleapi.Role(role), lifetime)
			if err == nil {
				_, err = fmt.Fprintln(command.OutOrStdout(), token)
			}
			return err
		},
	}
	command.Flags().StringVar(&role, "role", string(consoleapi.RoleView), "view, edit, review or operator")
	command.Flags().DurationVar(&lifetime, "lifetime", 0, "how long it is valid, such as 720h; 0 means forever")
	return command
}

func newTokenListCommand(directory *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show the names, roles and expiry times of the tokens",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			all, err := tokens.Read(*directory)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(command.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, t := range all {
				expires := "never expires"
				if !t.Expires.IsZero() {
					expires = "expires " + t.Expires.Format(time.RFC3339)
				}
				fmt.Fprintf(table, "%s\t%s\t%s\n", t.Name, t.Role, expires)
			}
			return table.Flush()
		},
	}
}

func newTokenRevokeCommand(directory *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Revoke a token and end its sessions",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return tokens.Revoke(*directory, args[0])
		},
	}
}
