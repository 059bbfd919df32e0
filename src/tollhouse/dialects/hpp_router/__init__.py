"""The HPP Router dialect: OpenAI chat with smart-routing headers and a prepaid quota."""
